import { compareProgram } from '../../support/clients/compare-program.js';
import { findPython } from '../../support/python/python.js';

const FOLDER = 'test/integration/clients/python';
const MODES = ['rest', 'grpc', 'async-rest', 'async-grpc'];

/** The version that came with the server that the tests run, and the newest one. */
for (const [version, requirements] of [
  ['1.16', 'test/requirements.txt'],
  ['1.20', `${FOLDER}/requirements.txt`],
] as const)
  await compareProgram(`the Python client ${version}`, async () => {
    const python = await findPython('qdrant_client', requirements);
    return python === null ? null : { command: python, args: [`${FOLDER}/flow.py`], modes: MODES };
  });
