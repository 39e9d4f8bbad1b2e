import { compareProgram } from '../../support/clients/compare-program.js';
import { buildRust, programIn } from '../../support/clients/toolchains.js';

await compareProgram('the Rust client', programIn('Rust', buildRust));
