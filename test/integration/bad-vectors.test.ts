import { afterAll, beforeAll, expect } from '@jest/globals';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Rng } from '../../src/core/rng.js';
import { tinyEncoder } from '../migrate/fixtures.js';
import type { CliResult } from '../cli/run-cli.js';
import { openCliPlace, type CliPlace } from './cli-place.js';
import { testsOn } from './test-server.js';

const test = await testsOn('any');

const DIM = 16;
const ROWS = 150;
/** A JavaScript number cannot hold it. */
const BAD_ID = '9007199254740993';
let place: CliPlace;

const put = (name: string, path: string, body: string): Promise<Response> =>
  fetch(`${place.server.url}/collections/${name}${path}`, {
    method: 'PUT',
    headers: { 'content-type': 'application/json' },
    body,
  }).then((response) => {
    if (!response.ok) throw new Error(`${name}${path}: ${response.status}`);
    return response;
  });

const point = (id: string, vector: readonly (number | string)[]): string =>
  `{"id": ${id}, "vector": [${vector.join()}], "payload": {"label": "a"}}`;

async function makeCollection(name: string, distance: string): Promise<void> {
  await put(name, '', `{"vectors": {"size": ${DIM}, "distance": "${distance}"}}`);
  const rng = new Rng(1);
  const points = Array.from({ length: ROWS }, (_, i) =>
    point(
      String(i),
      Array.from({ length: DIM }, () => rng.normal()),
    ),
  );
  await put(name, '/points?wait=true', `{"points": [${points.join()}]}`);
}

const writeBad = (name: string, value: string): Promise<Response> =>
  put(
    name,
    '/points?wait=true',
    `{"points": [${point(
      BAD_ID,
      Array.from({ length: DIM }, () => value),
    )}]}`,
  );

const train = (name: string, ...flags: string[]): Promise<CliResult> =>
  place.cli('train', name, '--dim', '4', '--out', 'new.onnx', '--steps', '3', '--force', '--json', ...flags);

function expectNamed(result: CliResult, words: RegExp): void {
  expect(result.json()).toMatchObject({
    error: { code: 'INVALID_DATA', message: expect.stringMatching(words) },
  });
  expect(result.code).toBe(3);
}

beforeAll(async () => {
  place = await openCliPlace('bad-vectors');
});

afterAll(() => place.end());

test('a point that holds infinity is named by its id by every command that samples', async () => {
  await makeCollection('infinite', 'Euclid');
  const named = new RegExp(`point ${BAD_ID} of infinite holds NaN or infinity`);
  const file = join(place.cwd, 'labels.tsv');
  await writeFile(file, `${BAD_ID}\ta\n${Array.from({ length: 40 }, (_, i) => `${i}\ta`).join('\n')}\n`);
  // Written first without a fault, so that the checkpoint's sample holds the point.
  await writeBad('infinite', '1');
  const checkpoint = ['--checkpoint', 'state.bin'];
  expect((await train('infinite', ...checkpoint)).code).toBe(0);
  await writeBad('infinite', '1e39');

  expectNamed(await train('infinite', ...checkpoint), named);
  expectNamed(await train('infinite'), named);
  expectNamed(await train('infinite', '--dry-run'), named);
  const labels = ['--objective', 'relevance', '--labels', 'labels.tsv'];
  expectNamed(await train('infinite', ...labels), named);
  expectNamed(await place.cli('plan', 'infinite', '--dims', '4', '--json', '--yes'), named);

  await writeBad('infinite', '1');
  await tinyEncoder(1, 'euclid').save(join(place.cwd, 'euclid.onnx'));
  const encoder = ['--encoder', 'euclid.onnx', '--json'];
  const migrated = await place.cli('migrate', 'start', 'infinite', 'infinite-small', ...encoder, '--yes');
  expect(migrated.code).toBe(0);
  await writeBad('infinite', '1e39');
  expectNamed(await place.cli('evaluate', 'infinite', 'infinite-small', ...encoder), named);
});
