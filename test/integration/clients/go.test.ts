import { compareProgram } from '../../support/clients/compare-program.js';
import { buildGo } from '../../support/clients/toolchains.js';

await compareProgram('the Go client', buildGo);
