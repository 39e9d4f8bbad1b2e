import { compareProgram } from '../../support/clients/compare-program.js';
import { buildRust } from '../../support/clients/toolchains.js';

await compareProgram('the Rust client', buildRust);
