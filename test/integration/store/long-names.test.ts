import { afterAll, beforeAll, expect } from '@jest/globals';
import { copyFile, mkdir, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { stateFileIn } from '../../../src/migrate/state/state-file-name.js';
import type { CliResult } from '../../support/cli/run-cli.js';
import { DIM } from '../../support/migrate/fixtures.js';
import { openCliPlace, type CliPlace } from '../../support/cli/cli-on-test-server.js';
import { testsOn } from '../../support/server/test-server.js';

const test = await testsOn('any');

const POINTS = 20;
/** An encrypted folder takes names of so many bytes. */
const FILE_NAME_BYTES_MAX = 143;
/** Names that a server takes; folders of collections and file names may have 255 bytes. */
const PAIRS: readonly (readonly [string, string])[] = [
  ['名'.repeat(15), '前'.repeat(15)],
  ['a'.repeat(130), 'b'.repeat(130)],
  [`${'x'.repeat(254)}1`, '前'.repeat(85)],
  [`${'x'.repeat(254)}2`, '前'.repeat(85).replace(/.$/, '後')],
  ['café', 'small'],
  ['cafe\u0301', 'small2'],
  ['docs', 'docs_c'],
  ['Docs', 'Docs_C'],
];

let place: CliPlace;
let state: string;

async function fill(collection: string): Promise<void> {
  const path = `/collections/${encodeURIComponent(collection)}`;
  await place.rest('PUT', path, { vectors: { size: DIM, distance: 'Cosine' } });
  const points = Array.from({ length: POINTS }, (_, i) => ({
    id: i + 1,
    vector: Array.from({ length: DIM }, (_, k) => Math.sin(i * 13.7 + k * k)),
  }));
  await place.rest('PUT', `${path}/points?wait=true`, { points });
}

function start(source: string, target: string, ...more: string[]): Promise<CliResult> {
  return place.cli(
    'migrate',
    'start',
    source,
    target,
    '--encoder',
    'enc.onnx',
    '--layout',
    'compact',
    '--yes',
    ...more,
  );
}

async function phaseOf(source: string, target: string): Promise<unknown> {
  const shown = await place.cli('migrate', 'status', source, target, '--json');
  expect([shown.code, shown.stderr]).toEqual([0, expect.not.stringContaining('error')]);
  return shown.json()['phase'];
}

/** Where earlier versions kept the migration state of `Docs`. */
const EARLIER = 'Docs--Docs_C.json';

beforeAll(async () => {
  place = await openCliPlace('long-names');
  state = join(place.cwd, '.qdrant-tldr');
  for (const [source] of PAIRS) await fill(source);
});

afterAll(() => place.end());

test.each(PAIRS)('%s is migrated into %s', async (source, target) => {
  const run = await start(source, target);
  expect([run.code, run.stderr]).toEqual([0, expect.not.stringContaining('ENAMETOOLONG')]);
});

test.each(PAIRS.slice(0, 3))('the state of %s into %s is found', async (source, target) => {
  expect(await phaseOf(source, target)).toBe('verified');
});

test('states stay apart where case and Unicode forms are one, and their names are short', async () => {
  const names = await readdir(state);
  expect(new Set(names.map((name) => name.normalize('NFKC').toLowerCase())).size).toBe(PAIRS.length);
  for (const name of names) expect(Buffer.byteLength(name)).toBeLessThanOrEqual(FILE_NAME_BYTES_MAX);
  expect(names).toContain('docs--docs_c.json');
});

test('a state of an earlier version is found under its name', async () => {
  const pair = { sourceCollection: 'Docs', targetCollection: 'Docs_C' };
  await rename(await stateFileIn(state, pair), join(state, EARLIER));
  expect(await stateFileIn(state, pair)).toBe(join(state, EARLIER));
  expect(await phaseOf('Docs', 'Docs_C')).toBe('verified');
  const again = await start('Docs', 'Docs_C');
  expect([again.code, again.stderr]).toEqual([0, expect.not.stringContaining('exists')]);
  expect(await readdir(state)).toHaveLength(PAIRS.length);
});

test('a state of another pair under the same name is left alone', async () => {
  const folder = join(place.cwd, 'case-insensitive');
  await mkdir(folder);
  // As a file system finds it that takes upper and lower case for the same.
  await copyFile(join(state, EARLIER), join(folder, 'docs--docs_c.json'));
  const pair = { sourceCollection: 'docs', targetCollection: 'docs_c' };
  const path = await stateFileIn(folder, pair);
  expect(path).toMatch(/docs--docs_c\+[0-9a-f]{16}\.json$/);
  await copyFile(join(state, 'docs--docs_c.json'), path);
  await rm(join(folder, 'docs--docs_c.json'));
  expect(await stateFileIn(folder, pair)).toBe(path);
});

test('pairs whose names run together have states of their own', async () => {
  const pairs = [
    ['a--b', 'c'],
    ['a', 'b--c'],
    ['a-', 'b'],
    ['a', '-b'],
    ['a', 'b'],
  ] as const;
  const paths = await Promise.all(
    pairs.map(([sourceCollection, targetCollection]) =>
      stateFileIn(state, { sourceCollection, targetCollection }),
    ),
  );
  expect(new Set(paths).size).toBe(pairs.length);
  expect(paths.at(-1)).toBe(join(state, 'a--b.json'));
});
