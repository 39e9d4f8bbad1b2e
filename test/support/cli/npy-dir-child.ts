import { addAdapter } from '../../../src/cli/adapters.js';
import { NPY_DIR } from '../store/npy-dir.js';

/** The command line with one adapter more. */
addAdapter(NPY_DIR);
await import('../../../src/cli/main.js');
