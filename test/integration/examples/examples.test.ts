import { afterAll, beforeAll, describe, expect, test as plainTest } from '@jest/globals';
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ExamplesTask } from '../../support/examples/run-child.js';
import { pages } from '../../support/examples/doc-snippets.js';
import {
  compiledSnippet,
  compileErrors,
  packageExports,
  pageTypeScript,
} from '../../support/examples/typescript-snippets.js';
import { startTestServer, testsOn, type TestServer } from '../../support/server/test-server.js';

const serverTest = await testsOn('any');
const CHILD = join(process.cwd(), 'dist/test/support/examples/run-child.js');

const exported = packageExports();
const examples = exported.flatMap((one) => one.examples);
const onPages = pageTypeScript();
/** Dimensions of enc.onnx in examples, and on pages. */
const [EXAMPLE_DIM, PAGE_DIM] = [8, 96];
const needsServer = (given: readonly string[]): boolean => given.includes('Qdrant');

/** Runs examples in a process of their own. @returns the errors by example */
async function failures(task: ExamplesTask): Promise<unknown> {
  const child = fork(CHILD, { stdio: ['ignore', 'ignore', 'inherit', 'ipc'], execArgv: ['--no-warnings'] });
  let answer: unknown = 'the process ended without an answer';
  child.on('message', (message) => {
    answer = message;
  });
  child.send(task);
  await Promise.all([once(child, 'disconnect'), once(child, 'exit')]);
  return answer;
}

describe('the public interface', () => {
  plainTest('has a docstring for each export', () => {
    expect(exported.length).toBeGreaterThan(100);
    expect(exported.filter(({ documented }) => !documented).map(({ name }) => name)).toEqual([]);
  });

  plainTest('has an example for each function, class and constant', () => {
    const values = exported.filter(({ isValue }) => isValue);
    expect(values.length).toBeGreaterThan(35);
    expect(values.filter((one) => one.examples.length === 0).map(({ name }) => name)).toEqual([]);
  });

  plainTest('has examples whose needs the test knows', () => {
    const known = ['Qdrant', 'enc.onnx', 'a finished migration', 'a proxy'];
    const unknown = [...examples, ...onPages].filter(({ given }) =>
      given.some((need) => !known.includes(need)),
    );
    expect(unknown.map(({ name }) => name)).toEqual([]);
  });
});

describe('code for users', () => {
  plainTest('on pages is TypeScript, so that it is compiled here', () => {
    const other = pages().filter((page) =>
      /```(?:js|javascript|typescript|mjs)\b/.test(readFileSync(page, 'utf8')),
    );
    expect(other).toEqual([]);
  });

  plainTest('compiles in strict mode with the types of the package', () => {
    const snippets = onPages.map(compiledSnippet);
    expect(snippets.length).toBeGreaterThan(5);
    expect(compileErrors([...examples, ...snippets])).toEqual([]);
  });

  plainTest('would not compile with an error in it', () => {
    const code = "import { matrix } from 'qdrant-tldr';\nmatrix('2', 3);";
    expect(compileErrors([{ name: 'x', code, given: [] }])).toEqual([
      expect.stringMatching(/^x: Argument of type 'string' is not assignable .* at `'2', 3\);`$/),
    ]);
  });

  plainTest('in examples that need no server runs', async () => {
    const snippets = examples.filter(({ given }) => !needsServer(given));
    expect(snippets.length).toBeGreaterThan(15);
    expect(await failures({ snippets, server: null, dim: EXAMPLE_DIM })).toEqual({});
  });
});

describe('examples with a server', () => {
  let server: TestServer;
  beforeAll(async () => {
    server = await startTestServer();
  });
  afterAll(() => server.stop());

  serverTest('run', async () => {
    const snippets = examples.filter(({ given }) => needsServer(given));
    expect(snippets.length).toBeGreaterThan(15);
    const { url, grpcUrl } = server;
    expect(await failures({ snippets, server: { url, grpcUrl }, dim: EXAMPLE_DIM })).toEqual({});
  });

  serverTest('on pages run', async () => {
    const snippets = onPages.filter(({ notRun }) => notRun === null).map(compiledSnippet);
    expect(snippets.length).toBeGreaterThan(5);
    const { url, grpcUrl } = server;
    expect(await failures({ snippets, server: { url, grpcUrl }, dim: PAGE_DIM })).toEqual({});
  });
});
