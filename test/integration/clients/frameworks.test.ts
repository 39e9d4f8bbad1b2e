import { compareProgram } from '../../support/clients/compare-program.js';
import { findPython } from '../../support/python/python.js';

const FOLDER = 'test/integration/clients/python';
const FRAMEWORKS = ['LangChain', 'LlamaIndex', 'Haystack', 'mem0', 'mem0 Memory', 'MCP', 'MCP tools'];

await compareProgram(
  'the Python framework',
  async () => {
    const python = await findPython('langchain_qdrant', `${FOLDER}/requirements-frameworks.txt`);
    return python === null ? null : { command: python, args: [`${FOLDER}/frameworks.py`], modes: FRAMEWORKS };
  },
  { min: 4, refused: [] },
);
