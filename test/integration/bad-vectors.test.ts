import { afterAll, beforeAll, expect } from '@jest/globals';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { writeNpy } from '../../src/cli/npy.js';
import { matrix } from '../../src/core/matrix.js';
import { Rng } from '../../src/core/rng.js';
import { tinyEncoder } from '../migrate/fixtures.js';
import type { CliResult } from '../cli/run-cli.js';
import { openCliPlace, type CliPlace } from './cli-place.js';
import { fetchOnce } from './fetch-once.js';
import { testsOn } from './test-server.js';

const test = await testsOn('any');

const DIM = 16;
const ROWS = 150;
/** A JavaScript number cannot hold it. */
const BAD_ID = '9007199254740993';
let place: CliPlace;

const put = (name: string, path: string, body: string): Promise<Response> =>
  fetchOnce(`${place.server.url}/collections/${name}${path}`, {
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

test.each(['Dot', 'Euclid', 'Manhattan'])(
  'a finite value whose square overflows is named by its point (%s)',
  async (distance) => {
    const name = `large-${distance}`;
    await makeCollection(name, distance);
    const named = new RegExp(`point ${BAD_ID} of ${name} holds a value beyond 1e15`);
    await writeBad(name, '1e20');
    expectNamed(await train(name), named);
    expectNamed(await train(name, '--engine', 'tfjs'), named);
    expectNamed(await place.cli('plan', name, '--dims', '4', '--json', '--yes'), named);
  },
);

test('cosine rows of any length are judged alike; tiny rows of other distances are refused', async () => {
  const rng = new Rng(3);
  const base = matrix(ROWS, DIM);
  base.data.forEach((_, i) => (base.data[i] = rng.normal()));
  const file = async (name: string, factor: number): Promise<void> => {
    const data = base.data.map((value) => value * factor);
    const blocks = async function* (): AsyncGenerator<typeof base> {
      yield await Promise.resolve({ ...base, data });
    };
    await writeNpy(join(place.cwd, name), { rows: ROWS, cols: DIM }, blocks());
  };
  // Powers of two, so that only the exponents differ.
  await file('plain.npy', 1);
  await file('huge.npy', 2 ** 70);
  await file('tiny.npy', 2 ** -70);
  const learn = (name: string, distance: string): Promise<CliResult> =>
    place.cli(
      ...['train', '--input', name, '--distance', distance, '--dim', '4', '--out', 'new.onnx'],
      ...['--steps', '3', '--force', '--json'],
    );
  const recalls = async (name: string): Promise<unknown> =>
    ((await learn(name, 'cosine')).json() as { candidates: { recallAt10: number }[] }).candidates.map(
      ({ recallAt10 }) => recallAt10,
    );
  const plain = await recalls('plain.npy');
  expect(await recalls('huge.npy')).toEqual(plain);
  expect(await recalls('tiny.npy')).toEqual(plain);
  expectNamed(await learn('huge.npy', 'dot'), /row 0 of huge.npy holds a value beyond 1e15/);
  expectNamed(await learn('tiny.npy', 'euclid'), /no value of the sample reaches 1e-15/);
});
