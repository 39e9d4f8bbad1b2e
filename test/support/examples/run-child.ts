import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import ts from 'typescript';
import type { Encoder } from '../../../src/encoder/model.js';
import { pcaEncoder } from '../migrate/pca-encoder.js';
import { endServing, startServe } from '../serve/serve-child.js';
import { provideDeclared } from './declared-values.js';
import {
  makeDocs,
  migrateDocs,
  removeCollections,
  SMALL_DOCS,
  VECTORS,
  type Addresses,
} from './docs-collection.js';
import type { Snippet } from './typescript-snippets.js';

/** The addresses that examples name; those of the test's server and proxy take their places. */
const [NAMED_SERVER, NAMED_PROXY] = ["{ url: 'http://localhost:6333'", 'http://localhost:6433'];
/** A training that says nothing of its budget, and what the test makes of it. */
const [TRAINING, SHORT_TRAINING] = ['{ dim: 96, distance', '{ budgetSeconds: 0.2, dim: 96, distance'];

/** What the test sends: the examples to run, and the server's addresses if there is one. */
export interface ExamplesTask {
  readonly snippets: readonly Snippet[];
  readonly server: Addresses | null;
  /** Dimensions of the encoder enc.onnx. */
  readonly dim: number;
}

const folder = mkdtempSync(join(tmpdir(), 'examples-'));
// Within the package, so that its own name leads to it.
const modules = join(process.cwd(), 'dist', `examples-${process.pid}`);
mkdirSync(modules, { recursive: true });

/** Makes what the example needs, in the working directory. @returns the proxy's address, if it needs one */
async function prepare(
  given: readonly string[],
  encoder: Encoder,
  server: Addresses | null,
): Promise<string | null> {
  if (given.includes('enc.onnx')) await encoder.save('enc.onnx');
  if (server === null || !given.includes('Qdrant')) return null;
  await makeDocs(server);
  if (given.includes('a finished migration'))
    await migrateDocs(server, { encoder, statePath: 'docs.migration.json' });
  if (!given.includes('a proxy')) return null;
  const [own, anyPort] = [process.cwd(), '127.0.0.1:0'];
  const addresses = { url: server.url, grpcUrl: server.grpcUrl };
  const listen = { listenRest: anyPort, listenGrpc: anyPort, listenOperations: anyPort };
  const collections = { docs: { target: SMALL_DOCS, encoder: 'enc.onnx' } };
  writeFileSync('serve.json', JSON.stringify({ ...addresses, ...listen, collections }));
  return (await startServe(own, [])).rest;
}

/** The module that is run: the example, with the test's addresses and a short training. */
function moduleOf(
  { code, given }: Snippet,
  { server, proxyUrl }: { server: Addresses | null; proxyUrl: string | null },
): string {
  if (server === null || !given.includes('Qdrant')) return code;
  return code
    .replaceAll(NAMED_SERVER, `{ url: '${server.url}', grpcUrl: '${server.grpcUrl}'`)
    .replaceAll(NAMED_PROXY, proxyUrl ?? NAMED_PROXY)
    .replaceAll(TRAINING, SHORT_TRAINING);
}

/** Runs one example in an empty folder. @returns the error, or null */
async function failureOf(
  snippet: Snippet,
  { number, encoder, server }: { number: number; encoder: Encoder; server: Addresses | null },
): Promise<string | null> {
  const own = join(folder, String(number));
  mkdirSync(own);
  process.chdir(own);
  const compilerOptions = { target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.ESNext };
  const file = join(modules, `${number}.mjs`);
  try {
    const proxyUrl = await prepare(snippet.given, encoder, server);
    const used = moduleOf(snippet, { server, proxyUrl });
    writeFileSync(file, ts.transpileModule(used, { compilerOptions }).outputText);
    await provideDeclared(used, { server, proxyUrl });
    await import(pathToFileURL(file).href);
    return null;
  } catch (error) {
    return error instanceof Error ? (error.stack ?? error.message) : String(error);
  } finally {
    endServing();
    if (server !== null && snippet.given.includes('Qdrant')) await removeCollections(server);
  }
}

/** The errors of the examples that failed, by name. */
async function run({ snippets, server, dim }: ExamplesTask): Promise<Record<string, string>> {
  const encoder = await pcaEncoder(VECTORS, dim);
  const failures: Record<string, string> = {};
  for (const [number, snippet] of snippets.entries()) {
    const failure = await failureOf(snippet, { number, encoder, server });
    if (failure !== null) failures[snippet.name] = failure;
  }
  return failures;
}

async function answer(task: ExamplesTask): Promise<void> {
  const home = process.cwd();
  try {
    process.send?.(await run(task));
  } catch (error) {
    process.send?.(String(error));
  }
  process.chdir(home);
  for (const made of [folder, modules]) rmSync(made, { recursive: true, force: true });
  process.disconnect();
}

process.once('message', (task) => void answer(task as ExamplesTask));
