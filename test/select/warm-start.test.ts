import { beforeAll, expect, test } from '@jest/globals';
import { Encoder } from '../../src/encoder/model.js';
import type { Distance } from '../../src/core/distance.js';
import { concatRows, largestDifference, matrix, type Matrix } from '../../src/core/matrix.js';
import { Rng } from '../../src/core/rng.js';
import { trainEncoder, type TrainEncoderResult } from '../../src/select/train-encoder.js';
import { hiddenAlong, warmStartOf, type WarmStart } from '../../src/select/warm-start.js';
import { createModel, foldEncoder, parseArchitecture } from '../../src/train/model.js';
import { rowsOfKinds } from '../support/evaluate/kinds.js';
import { pcaEncoder } from '../support/migrate/pca-encoder.js';

const DIM = 32;
const OUT = 6;
const SEEN = [0, 1, 2, 3, 4, 5];
const FRESH = [6, 7, 8, 9, 10, 11];
const options = { dim: OUT, seed: 1, threads: 1, budgetSeconds: 2 };

const seen = rowsOfKinds(SEEN, { rows: 900, dim: DIM, seed: 2 });
const grown = concatRows([seen, rowsOfKinds(FRESH, { rows: 300, dim: DIM, seed: 3 })], DIM);
let old: Encoder;
let went: TrainEncoderResult;

beforeAll(async () => {
  const result = await trainEncoder(seen, { ...options, ship: 'neighbourhood-kl-residual' });
  // As `--from` reads it: from the bytes of a file.
  old = Encoder.fromBytes(result.encoder!.toBytes());
  went = await trainEncoder(grown, { ...options, from: old });
});

test('goes on from a residual encoder, alone, and raises recall on the new rows', () => {
  const { report } = went;
  expect(report!.training.map(({ name }) => name)).toEqual(['neighbourhood-kl-residual']);
  const groups = new Map(report!.previous!.map((one) => [one.group, one]));
  const far = groups.get('far')!;
  expect(far.queries).toBeGreaterThan(20);
  expect(far.trained).toBeGreaterThan(far.previous + 0.02);
  expect(far.queries + groups.get('near')!.queries).toBe(groups.get('all')!.queries);
});

test('nothing is shipped that finds less than the previous encoder, which is a candidate', () => {
  const recall = new Map(went.report!.candidates.map((one) => [one.name, one.recallAt10]));
  expect(recall.get(went.report!.shipped)!).toBeGreaterThanOrEqual(recall.get('previous')!);
});

test('the previous encoder can be shipped again, unchanged, and training can go on from it', () => {
  const kept = went.candidates.get('previous')!;
  expect(kept.fingerprint).toBe(old.fingerprint);
  expect(kept.metadata.method).toBe('neighbourhood-kl-residual');
  expect(typeof warmStartOf(kept)).toBe('object');
});

test('the previous encoder that is saved again is unchanged, and the report says why it was not fitted again', async () => {
  const { encoder, report } = await trainEncoder(grown, {
    ...options,
    budgetSeconds: 0.1,
    from: old,
    ship: 'previous',
  });
  expect(encoder!.fingerprint).toBe(old.fingerprint);
  expect(encoder!.metadata).toEqual(old.metadata);
  expect(report).toMatchObject({
    refit: null,
    notRefitted: 'the encoder that training went on from is saved unchanged',
  });
});

test('needs the same dimensions and distance, and no training settings', async () => {
  await expect(trainEncoder(grown, { ...options, dim: 5, from: old })).rejects.toThrow(
    'it reduces to 6 dimensions, 5 were asked for',
  );
  await expect(trainEncoder(matrix(300, 33), { ...options, from: old })).rejects.toThrow(
    'it takes 32-d vectors, the sample has 33 dimensions',
  );
  await expect(trainEncoder(grown, { ...options, distance: 'euclid', from: old })).rejects.toThrow(
    'it was trained for cosine',
  );
  const searched = old.metadata.compactDistance;
  const compactDistance = searched === 'dot' ? 'cosine' : 'dot';
  await expect(trainEncoder(grown, { ...options, compactDistance, from: old })).rejects.toThrow(
    `its compact space is searched by ${searched}, ${compactDistance} was asked for`,
  );
  await expect(trainEncoder(grown, { ...options, steps: 3, from: old })).rejects.toThrow(
    'training settings and a start cannot be given beside an encoder',
  );
});

test('an encoder that was not learned in steps is compared, and training is the usual one', async () => {
  const said: string[] = [];
  const from = await pcaEncoder(seen, OUT);
  const { report } = await trainEncoder(grown, {
    ...options,
    budgetSeconds: 0.1,
    from,
    log: (_, message) => said.push(message),
  });
  expect(said.join('\n')).toContain('pca-uncentred is not learned in steps: trained as usual');
  expect(report!.candidates.map(({ name }) => name)).toContain('previous');
  expect(report!.training.length).toBeGreaterThan(1);
});

/** What the parts of a residual encoder give for unit rows. */
function outputs({ weight, hidden }: WarmStart, x: Matrix): Float32Array {
  const width = hidden!.bias.length;
  const out = new Float32Array(x.rows * OUT);
  for (let i = 0; i < x.rows; i++) {
    const at = (j: number): number => x.data[i * DIM + j]!;
    const active = Array.from(hidden!.bias, (bias, h) => {
      let sum = bias;
      for (let j = 0; j < DIM; j++) sum += at(j) * hidden!.weight[j * width + h]!;
      return Math.max(0, sum);
    });
    for (let k = 0; k < OUT; k++) {
      let sum = 0;
      for (let j = 0; j < DIM; j++) sum += at(j) * weight.data[j * OUT + k]!;
      active.forEach((value, h) => (sum += value * hidden!.output[h * OUT + k]!));
      out[i * OUT + k] = sum;
    }
  }
  return out;
}

test('takes a residual encoder apart without a change, also if its last layer was rotated', () => {
  const rng = new Rng(4);
  const architecture = parseArchitecture('residual-9', ['residual']);
  const none = parseArchitecture('none', ['none']);
  const model = createModel({ inputDim: DIM, outputDim: OUT }, architecture, none);
  const parameters = model.parameters.map(({ shape: [rows = 0, cols = 0] }) =>
    Float32Array.from({ length: rows * cols }, () => rng.normal()),
  );
  const layers = foldEncoder(model, parameters, { sample: seen, shift: null });
  // Swaps the first two outputs and turns the sign of one of them.
  const turned = layers.map((layer, l) => {
    if (l === 0) return layer;
    const data = layer.weight.data.slice();
    for (let i = 0; i < layer.weight.rows; i++) {
      [data[i * OUT], data[i * OUT + 1]] = [data[i * OUT + 1]!, -data[i * OUT]!];
    }
    return { ...layer, weight: { ...layer.weight, data } };
  });
  const metadata = { ...old.metadata, sample: undefined };
  const x = rowsOfKinds(SEEN, { rows: 20, dim: DIM, seed: 5 });
  for (const own of [layers, turned]) {
    const encoder = new Encoder({ normalizeInput: false, layers: own, normalizeOutput: false }, metadata);
    const start = warmStartOf(encoder) as WarmStart;
    expect(largestDifference(outputs(start, x), encoder.project(x).data)).toBeLessThan(1e-3);
  }
});

test('takes a residual encoder apart whose rows were shifted, for distances that see no shift', async () => {
  const rng = new Rng(6);
  const model = createModel(
    { inputDim: DIM, outputDim: OUT },
    parseArchitecture('residual-9', ['residual']),
    parseArchitecture('none', ['none']),
  );
  const parameters = model.parameters.map(({ shape: [rows = 0, cols = 0] }) =>
    Float32Array.from({ length: rows * cols }, () => rng.normal()),
  );
  const random = (): Float64Array => Float64Array.from({ length: DIM }, () => 2 * rng.normal());
  const layers = foldEncoder(model, parameters, { sample: seen, shift: random() });
  const network = { normalizeInput: false, layers, normalizeOutput: false };
  const of = (distance: Distance): WarmStart | string =>
    warmStartOf(
      new Encoder(network, { ...old.metadata, distance, compactDistance: distance, sample: undefined }),
    );
  expect(of('dot')).toContain('a shift or a batch norm is part of the weights');
  const x = rowsOfKinds(SEEN, { rows: 20, dim: DIM, seed: 5 });
  const expected = new Encoder(network, { ...old.metadata, sample: undefined }).project(x).data;
  for (const distance of ['euclid', 'manhattan'] as const) {
    const start = of(distance) as WarmStart;
    const apart = outputs(start, x).map((value, i) => value - expected[i]!);
    // The same difference in all rows.
    expect(
      largestDifference(
        apart,
        apart.map((_, i) => apart[i % OUT]!),
      ),
    ).toBeLessThan(1e-3);
    const shift = random();
    const hidden = (await hiddenAlong(start, { directions: undefined, shift }))!;
    const moved = { ...x, data: x.data.map((value, i) => value - shift[i % DIM]!) };
    const onMoved = outputs({ ...start, hidden }, moved);
    const between = onMoved.map((value, i) => value - expected[i]!);
    expect(
      largestDifference(
        between,
        between.map((_, i) => between[i % OUT]!),
      ),
    ).toBeLessThan(1e-3);
  }
});

test('goes on from a residual encoder for Euclid distances of vectors far from the origin', async () => {
  const far = (x: Matrix): Matrix => ({
    ...x,
    data: x.data.map((value, i) => 3 * value + 5 * Math.cos(i % DIM)),
  });
  const euclid = { ...options, distance: 'euclid' } as const;
  const first = await trainEncoder(far(seen), { ...euclid, ship: 'neighbourhood-kl-residual' });
  const from = Encoder.fromBytes(first.encoder!.toBytes());
  const said: string[] = [];
  const { report } = await trainEncoder(far(grown), {
    ...euclid,
    from,
    log: (_, message) => said.push(message),
  });
  expect(said.join('\n')).not.toContain('cannot be trained further');
  expect(report!.training.map(({ name }) => name)).toEqual(['neighbourhood-kl-residual']);
  const groups = new Map(report!.previous!.map((one) => [one.group, one]));
  expect(groups.get('far')!.trained).toBeGreaterThan(groups.get('far')!.previous + 0.02);
  // Few held-out rows, some of which the old encoder has learned from: the loss is .05, more or less, by machine.
  expect(groups.get('near')!.trained).toBeGreaterThan(groups.get('near')!.previous - 0.1);
});

test('hidden weights along directions act on coordinates as the whole ones on vectors', async () => {
  const start = warmStartOf(old) as WarmStart;
  const identity = matrix(DIM, DIM);
  for (let i = 0; i < DIM; i++) identity.data[i * DIM + ((i + 1) % DIM)] = 1;
  const { weight } = (await hiddenAlong(start, { directions: identity, shift: null }))!;
  const width = start.hidden!.bias.length;
  for (let i = 0; i < DIM; i++) {
    const moved = weight.subarray(((i + 1) % DIM) * width, (((i + 1) % DIM) + 1) * width);
    expect(largestDifference(moved, start.hidden!.weight.subarray(i * width, (i + 1) * width))).toBeLessThan(
      1e-5,
    );
  }
});
