import { afterAll, expect, test } from '@jest/globals';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { nativeLibraryError } from '../../src/core/errors.js';
import { runInWorker } from '../../src/core/worker-task.js';

const folder = await mkdtemp(join(tmpdir(), 'qdrant-tldr-native-'));
afterAll(() => rm(folder, { recursive: true }));

/** Makes a package whose library in machine code is missing, or holds other bytes than such a library. */
async function broken(name: string, library: string | null): Promise<void> {
  const home = join(folder, 'node_modules', name);
  await mkdir(join(home, 'build'), { recursive: true });
  await writeFile(join(home, 'index.js'), "module.exports = require('./build/library.node');\n");
  if (library !== null) await writeFile(join(home, 'build/library.node'), library);
}

function errorOf(name: string): unknown {
  try {
    createRequire(join(folder, 'program.cjs'))(name);
  } catch (error) {
    return error;
  }
  throw new Error(`${name} was loaded`);
}

test('says what could not be loaded, where, why, and what to do', async () => {
  await broken('onnxruntime-node', 'made for another platform');
  const { code, message } = nativeLibraryError(errorOf('onnxruntime-node')) ?? {};
  expect(code).toBe('UNSUPPORTED');
  expect(message).toContain(
    `onnxruntime-node cannot be loaded by Node ${process.version} on ${process.platform}`,
  );
  expect(message).toMatch(
    /library\.node: .*expected the library for this machine.*Install qdrant-tldr again/,
  );
});

test('a package that was not compiled or not installed names the compiler', async () => {
  const absent = nativeLibraryError(errorOf('hnswlib-node'))?.message;
  expect(absent).toContain("Cannot find module 'hnswlib-node'");
  await broken('hnswlib-node', null);
  const missing = createRequire(import.meta.url)('bindings') as (from: object) => unknown;
  const lost = (): unknown =>
    missing({ bindings: 'addon', module_root: join(folder, 'node_modules/hnswlib-node') });
  let thrown: unknown;
  try {
    lost();
  } catch (error) {
    thrown = error;
  }
  expect(nativeLibraryError(thrown)?.message).toContain('(Could not locate the bindings file), expected');
  for (const message of [absent, nativeLibraryError(thrown)?.message])
    expect(message).toContain('Install python3, make and a C++ compiler');
});

test('a worker thread passes the words on', async () => {
  await broken('fs-native-extensions', 'not a library');
  const file = join(folder, 'worker.cjs');
  await writeFile(file, "require('fs-native-extensions');\n");
  await expect(runInWorker({ file: pathToFileURL(file), data: null })).rejects.toMatchObject({
    code: 'UNSUPPORTED',
    message: expect.stringContaining('fs-native-extensions cannot be loaded by Node'),
  });
});

test('leaves other errors alone', () => {
  expect(nativeLibraryError(new Error('connect ECONNREFUSED'))).toBeNull();
  expect(nativeLibraryError(new Error("Cannot find module 'left-pad'"))).toBeNull();
});
