import { compareProgram } from '../../support/clients/compare-program.js';
import { buildJava, programIn } from '../../support/clients/toolchains.js';

await compareProgram('the Java client', programIn('Java', buildJava));
