import { afterAll, beforeAll, expect } from '@jest/globals';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { readNpy, writeNpy } from '../../../src/files/npy.js';
import { matrix, row } from '../../../src/core/matrix.js';
import { Rng } from '../../../src/core/rng.js';
import { tinyEncoder } from '../../support/migrate/fixtures.js';
import type { CliResult } from '../../support/cli/run-cli.js';
import { openCliPlace, type CliPlace } from '../../support/cli/cli-on-test-server.js';
import { fetchOnce } from '../../support/server/fetch-once.js';
import { testsOn } from '../../support/server/test-server.js';

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
  const migrated = await place.cli(
    'migrate',
    'start',
    'infinite',
    'infinite-small',
    ...encoder,
    '--layout',
    'compact',
    '--yes',
  );
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

test.each(['Dot', 'Euclid'])(
  'a value just below 1e15 is learned from, with either engine (%s)',
  async (distance) => {
    const name = `below-${distance}`;
    await makeCollection(name, distance);
    await writeBad(name, '9e14');
    for (const engine of ['onnx', 'tfjs']) {
      const result = await train(name, '--engine', engine);
      expect(result.code).toBe(0);
      const { candidates } = result.json() as { candidates: { recallAt10: number }[] };
      for (const { recallAt10 } of candidates) expect(recallAt10).toBeGreaterThan(0);
    }
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
      'train',
      '--input',
      name,
      '--distance',
      distance,
      '--dim',
      '4',
      '--out',
      'new.onnx',
      '--steps',
      '3',
      '--force',
      '--json',
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

/** Rows of a .npy file and of lines, each file with `value` in all of row 2. */
async function writeQueries(name: string, value: number): Promise<void> {
  const rng = new Rng(5);
  const x = matrix(40, DIM);
  x.data.forEach((_, i) => (x.data[i] = Math.floor(i / DIM) === 2 ? value : rng.normal()));
  const blocks = async function* (): AsyncGenerator<typeof x> {
    yield await Promise.resolve(x);
  };
  await writeNpy(join(place.cwd, `${name}.npy`), x, blocks());
  const lines = Array.from({ length: x.rows }, (_, i) => JSON.stringify([...row(x, i)]));
  // An empty line is none of them.
  await writeFile(join(place.cwd, `${name}.ndjson`), `\n${lines.join('\n')}\n`);
}

test.each(['Dot', 'Euclid'] as const)(
  'a query, or a row that is searched, is named where its square overflows or it is no number (%s)',
  async (form) => {
    const name = `asked-${form}`;
    const distance = form === 'Dot' ? 'dot' : 'euclid';
    await makeCollection(name, form);
    await tinyEncoder(1, distance).save(join(place.cwd, 'asked.onnx'));
    const encoder = ['--encoder', 'asked.onnx', '--json'];
    const small = `${name}-small`;
    expect(
      (await place.cli('migrate', 'start', name, small, ...encoder, '--layout', 'compact', '--yes')).code,
    ).toBe(0);
    await writeQueries('plain', 1);
    await writeQueries('large', 1e20);
    await writeQueries('nan', Number.NaN);

    for (const [file, words] of [
      ['large.npy', /row 2 of large\.npy holds a value beyond 1e15/],
      ['large.ndjson', /large\.ndjson line 4 holds a value beyond 1e15/],
      ['nan.npy', /row 2 of nan\.npy holds NaN or infinity/],
      ['nan.ndjson', /nan\.ndjson line 4: expected an array of 16 finite numbers/],
    ] as const) {
      const queries = ['--queries', file];
      expectNamed(await place.cli('evaluate', name, small, ...encoder, ...queries), words);
      expectNamed(await place.cli('evaluate', '--base', 'plain.npy', ...encoder, ...queries), words);
      const learn = ['--dim', '4', '--out', 'new.onnx', '--steps', '3', '--force', '--json', ...queries];
      expectNamed(await place.cli('train', name, ...learn), words);
    }
    for (const file of ['large', 'nan'])
      expectNamed(
        await place.cli('evaluate', '--base', `${file}.npy`, ...encoder),
        new RegExp(`row 2 of ${file}\\.npy holds`),
      );
    const asked = (...query: string[]): Promise<CliResult> =>
      place.cli('search', small, ...encoder, '--query', ...query);
    expectNamed(await asked('large.npy', '--row', '2'), /row 2 of large\.npy holds a value beyond 1e15/);
    expectNamed(await asked('nan.npy', '--row', '2'), /row 2 of nan\.npy holds NaN or infinity/);
    expect((await asked('large.npy', '--row', '3')).code).toBe(0);
  },
);

test('a large vector is projected as it is, and named where no number comes out', async () => {
  const encoder = tinyEncoder(1, 'euclid');
  await encoder.save(join(place.cwd, 'linear.onnx'));
  await writeQueries('large', 1e20);
  await writeQueries('nan', Number.NaN);
  const project = (input: string): Promise<CliResult> =>
    place.cli('project', '--encoder', 'linear.onnx', '--input', input, '--out', 'z.npy', '--force', '--json');
  expect((await project('large.npy')).code).toBe(0);
  const z = await readNpy(join(place.cwd, 'z.npy'));
  const ones = encoder.project(matrix(1, DIM, new Float32Array(DIM).fill(1))).data;
  ones.forEach((value, j) => expect(row(z, 2)[j]! / 1e20 / value).toBeCloseTo(1, 4));
  expectNamed(await project('nan.npy'), /row 2 of nan\.npy holds NaN or infinity/);
});
