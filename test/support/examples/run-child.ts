import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import ts from 'typescript';
import { openQdrant } from '../../../adapters/qdrant/index.js';
import { matrix } from '../../../src/core/matrix.js';
import { Rng } from '../../../src/core/rng.js';
import type { Encoder } from '../../../src/encoder/model.js';
import { migrateCollection } from '../../../src/migrate/run/migrate-collection.js';
import { pcaEncoder } from '../migrate/pca-encoder.js';
import { fetchAgain } from '../server/fetch-once.js';
import type { Snippet } from './snippets.js';

/** The address that examples name; the test's server takes its place. */
const NAMED = "{ url: 'http://localhost:6333'";

/** What the test sends: the examples to run, and the server's addresses if there is one. */
export interface ExamplesTask {
  readonly snippets: readonly Snippet[];
  readonly server: { readonly url: string; readonly grpcUrl: string } | null;
}

const [POINTS, DIM] = [500, 32];
const rng = new Rng(1);
const VECTORS = matrix(
  POINTS,
  DIM,
  Float32Array.from({ length: POINTS * DIM }, (_, i) => rng.normal() / (1 + (i % DIM) / 4)),
);

const folder = mkdtempSync(join(tmpdir(), 'examples-'));
// Within the package, so that its own name leads to it.
const modules = join(process.cwd(), 'dist', `examples-${process.pid}`);
mkdirSync(modules, { recursive: true });

async function send(url: string, method: string, body?: unknown): Promise<unknown> {
  const init = body === undefined ? { method } : { method, body: JSON.stringify(body) };
  const response = await fetchAgain(url, { ...init, headers: { 'content-type': 'application/json' } });
  if (!response.ok) throw new Error(`${method} ${url}: ${response.status} ${await response.text()}`);
  return response.json();
}

/** Makes the collection docs, and its migration to docs_c8 where an example needs it. */
async function prepare(
  given: readonly string[],
  encoder: Encoder,
  server: ExamplesTask['server'],
): Promise<void> {
  if (given.includes('enc.onnx')) await encoder.save('enc.onnx');
  if (server === null || !given.includes('Qdrant')) return;
  const collection = `${server.url}/collections/docs`;
  await send(collection, 'PUT', { vectors: { size: DIM, distance: 'Cosine' } });
  const points = Array.from({ length: POINTS }, (_, id) => ({
    id,
    vector: Array.from(VECTORS.data.subarray(id * DIM, (id + 1) * DIM)),
  }));
  await send(`${collection}/points?wait=true`, 'PUT', { points });
  if (!given.includes('a finished migration')) return;
  const store = await openQdrant(server);
  await migrateCollection({
    source: store,
    target: store,
    sourceCollection: 'docs',
    targetCollection: 'docs_c8',
    encoder,
    recordPath: 'docs.migration.json',
  });
  await store.close();
}

async function removeCollections(url: string): Promise<void> {
  for (const name of ['docs', 'docs_c8']) await send(`${url}/collections/${name}`, 'DELETE');
}

/** Runs one example in an empty folder. @returns the error, or null */
async function failureOf(
  { code, given }: Snippet,
  { number, encoder, server }: { number: number; encoder: Encoder; server: ExamplesTask['server'] },
): Promise<string | null> {
  const own = join(folder, String(number));
  mkdirSync(own);
  process.chdir(own);
  const address = server === null ? NAMED : `{ url: '${server.url}', grpcUrl: '${server.grpcUrl}'`;
  const used = given.includes('Qdrant') ? code.replaceAll(NAMED, address) : code;
  const compilerOptions = { target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.ESNext };
  const file = join(modules, `${number}.mjs`);
  writeFileSync(file, ts.transpileModule(used, { compilerOptions }).outputText);
  try {
    await prepare(given, encoder, server);
    await import(pathToFileURL(file).href);
    return null;
  } catch (error) {
    return error instanceof Error ? (error.stack ?? error.message) : String(error);
  } finally {
    if (server !== null && given.includes('Qdrant')) await removeCollections(server.url);
  }
}

/** The errors of the examples that failed, by name. */
async function run({ snippets, server }: ExamplesTask): Promise<Record<string, string>> {
  const encoder = await pcaEncoder(VECTORS, 8);
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
