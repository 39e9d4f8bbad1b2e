import { compareProgram } from '../../support/clients/compare-program.js';
import { buildJava } from '../../support/clients/toolchains.js';

await compareProgram('the Java client', buildJava);
