import { compareProgram } from '../../support/clients/compare-program.js';
import { buildGo, programIn } from '../../support/clients/toolchains.js';

await compareProgram('the Go client', programIn('Go', buildGo));
