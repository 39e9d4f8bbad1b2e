import { describe, expect, test } from '@jest/globals';
import { createHash } from 'node:crypto';
import { randomProjection } from '../../src/baselines/pca.js';
import { matrix, row, type Matrix } from '../../src/core/matrix.js';
import { Rng } from '../../src/core/rng.js';
import type { EncoderNetwork } from '../../src/encoder/network.js';
import { Kernel } from '../../src/encoder/projection-kernel.js';
import { exactTopK } from '../../src/knn/exact-search-in-worker.js';
import { adam, lars, learningRateAt } from '../../src/train/optimizers.js';
import { prepareSample } from '../../src/train/prepare-sample.js';
import {
  resolveSettings,
  runTraining,
  type TrainControl,
  type TrainOutcome,
} from '../../src/train/run-training.js';
import type { Neighbors } from '../../src/train/batches.js';
import { createOnnxExecutor } from '../../src/train/engine/onnx-executor.js';
import type { Ops, ParameterKind, StepDefinition } from '../../src/train/engine/ops.js';
import { calibrateTemperature } from '../../src/train/temperature.js';
import type { TldrOptions } from '../../src/train/options.js';
import { createTfjsExecutor } from '../../src/train/engine/tfjs-executor.js';
import { parseTrainState, serializeTrainState } from '../../src/train/state.js';
import { prepareInWorker, trainPrepared, trainTldr } from '../../src/train/tldr.js';
import { ReferenceOps, type Reference } from '../support/train/reference-ops.js';

/** Well separated clusters in a few directions, drowned in noise over all the others. */
function clusters(rows: number, cols: number, { seed = 1, spread = 4, noise = 0.5 } = {}): Matrix {
  const rng = new Rng(seed);
  const signal = 6;
  const centres = Float32Array.from({ length: 12 * signal }, () => spread * rng.normal());
  const x = matrix(rows, cols);
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < cols; j++) {
      x.data[i * cols + j] =
        rng.normal() * noise + (j < signal ? centres[(i % 12) * signal + j]! + rng.normal() : 0);
    }
  }
  return x;
}

/** Trains from the rows as they are. */
async function train(
  rows: Matrix,
  neighbors: Neighbors,
  options: TldrOptions,
  control?: TrainControl,
): Promise<TrainOutcome> {
  return runTraining(await prepareSample(rows, options), neighbors, options, control);
}

/** The first `count` coordinates as directions. */
function firstAxes(cols: number, count: number): Matrix {
  const axes = matrix(cols, count);
  for (let j = 0; j < count; j++) axes.data[j * count + j] = 1;
  return axes;
}

const x = clusters(600, 24);
const graph = {
  rows: 600,
  k: 8,
  neighbors: await exactTopK(x, x, { k: 8, distance: 'cosine', excludeSelf: true, threads: 1 }),
};
const barlow: TldrOptions = {
  loss: 'barlow-twins',
  projector: 'mlp-1-32',
  optimizer: 'adam',
  learningRate: 0.005,
  steps: 5,
  batchSize: 64,
  outputDim: 6,
  distance: 'cosine',
  seed: 3,
  threads: 1,
};
const kl: TldrOptions = {
  loss: 'neighbourhood-kl',
  steps: 5,
  batchSize: 120,
  nNeighbors: 8,
  outputDim: 6,
  distance: 'cosine',
  seed: 3,
  threads: 1,
};

describe.each([
  ['barlow-twins', barlow],
  ['neighbourhood-kl', kl],
  ['neighbourhood-kl, residual', { ...kl, encoder: 'residual-8', learningRate: 0.003 }],
  [
    'neighbourhood-kl, residual, along directions',
    { ...kl, encoder: 'residual-8', learningRate: 0.003, directions: firstAxes(x.cols, 22) },
  ],
])('%s', (_name, options) => {
  test('same seed, same weights; another seed, others', async () => {
    const [a, b, c] = [
      await train(x, graph, options),
      await train(x, graph, options),
      await train(x, graph, { ...options, seed: 4 }),
    ];
    expect(a.state).toEqual(b.state);
    expect(a.network).toEqual(b.network);
    expect(a.state.parameters).not.toEqual(c.state.parameters);
    expect(a.state.lossHistory.at(-1)!).toBeLessThan(a.state.lossHistory[0]!);
  });

  test.each(['onnx', 'tfjs'] as const)(
    'stopped, saved and resumed gives what an uninterrupted run gives (%s)',
    async (engine) => {
      const whole = await train(x, graph, { ...options, engine });
      let asked = 0;
      const first = await train(x, graph, { ...options, engine }, { shouldStop: () => asked++ === 2 });
      expect(first).toMatchObject({ finished: false, state: { step: 2 }, network: { layers: [] } });
      const resume = parseTrainState(serializeTrainState(first.state));
      expect(resume).toEqual(first.state);
      const second = await train(x, graph, { ...options, engine }, { resume });
      expect(second.finished).toBe(true);
      expect(second.state).toEqual(whole.state);
      expect(second.network).toEqual(whole.network);
    },
  );

  test('both engines walk the same way', async () => {
    const [onnx, tfjs] = [
      await train(x, graph, options),
      await train(x, graph, { ...options, engine: 'tfjs' }),
    ];
    onnx.state.lossHistory.forEach((loss, i) =>
      expect(Math.abs(loss - tfjs.state.lossHistory[i]!)).toBeLessThan(2e-3 * Math.abs(loss)),
    );
  });
});

test.each(['cosine', 'euclid'] as const)(
  'a residual encoder starts as the given linear map and is saved as two plain layers (%s)',
  async (distance) => {
    const weight = randomProjection(24, { dim: 6, distance, seed: 2 }).layers[0]!.weight;
    const shifted = { ...x, data: x.data.map((value) => value + 5) };
    const options = { ...kl, distance, encoder: 'residual-8', initialWeight: weight };
    const start = await train(shifted, graph, { ...options, steps: 0 });
    expect(start.network.layers.map(({ relu }) => relu)).toEqual([true, false]);
    const linear = { ...start.network, layers: [{ weight, bias: null, relu: false }] };
    const [z, expected] = [new Kernel(start.network).project(shifted), new Kernel(linear).project(shifted)];
    // Euclidean runs learn about the mean: the same map up to a shift, which moves no distance.
    for (let i = 0; i < 20; i++) {
      for (let j = 0; j < 6; j++) {
        const moved = row(z, i)[j]! - row(z, 0)[j]!;
        expect(moved).toBeCloseTo(row(expected, i)[j]! - row(expected, 0)[j]!, 4);
      }
    }
    const trained = await train(shifted, graph, { ...options, steps: 30 });
    expect(trained.state.lossHistory.at(-1)!).toBeLessThan(trained.state.lossHistory[0]!);
  },
);

test('all weights of an earlier training are a start, and those of another form are refused', async () => {
  const options = { ...kl, encoder: 'residual-8' };
  const { state, network } = await train(x, graph, { ...options, steps: 3 });
  const initialParameters = state.parameters;
  const again = await train(x, graph, { ...options, steps: 0, initialParameters });
  expect(again.network).toEqual(network);
  expect(again.state.fingerprint).not.toBe(
    (await train(x, graph, { ...options, steps: 0 })).state.fingerprint,
  );
  const narrower = { ...options, encoder: 'residual-7', steps: 0, initialParameters };
  await expect(train(x, graph, narrower)).rejects.toMatchObject({
    code: 'INVALID_ARGUMENT',
    message: expect.stringContaining('initialParameters: got arrays of'),
  });
});

test('along all directions the hidden layer is what it is of the rows, and is folded back', async () => {
  const options = { ...kl, encoder: 'residual-8', steps: 3 };
  const [plain, along] = [
    await train(x, graph, options),
    await train(x, graph, { ...options, directions: firstAxes(x.cols, x.cols) }),
  ];
  expect(along.state.lossHistory[0]!).toBeCloseTo(plain.state.lossHistory[0]!, 5);
  const [z, expected] = [new Kernel(along.network).project(x), new Kernel(plain.network).project(x)];
  z.data.forEach((value, i) => expect(value).toBeCloseTo(expected.data[i]!, 3));
});

test.each(['cosine', 'euclid'] as const)(
  'what few directions leave out reaches the linear part alone (%s)',
  async (distance) => {
    const directions = firstAxes(x.cols, 10);
    const options = { ...kl, distance, encoder: 'residual-8', steps: 4, learningRate: 0.01, directions };
    const { network } = await train(x, graph, options);
    const [first] = network.layers;
    // Columns: 8 hidden units, then the linear part and its negative.
    const rest = Array.from({ length: x.cols }, (_, i) => row(first!.weight, i));
    expect(rest.slice(10).every((weights) => weights.subarray(0, 8).every((value) => value === 0))).toBe(
      true,
    );
    expect(rest.slice(0, 10).every((weights) => weights.subarray(0, 8).some((value) => value !== 0))).toBe(
      true,
    );
    expect(rest.slice(10).every((weights) => weights.subarray(8).some((value) => value !== 0))).toBe(true);
  },
);

test('trained for dot products, the compact vectors of a cosine space keep their lengths', async () => {
  const { network } = await train(x, graph, { ...kl, compactDistance: 'dot' });
  expect(network).toMatchObject({ normalizeInput: true, normalizeOutput: false });
});

test.each(['adam', 'lars'] as const)('one dimension is learned, too, by %s', async (optimizer) => {
  const rate = optimizer === 'adam' ? 0.005 : 0.8;
  const run = { ...barlow, optimizer, learningRate: rate, outputDim: 1, steps: 60 };
  const { state } = await train(x, graph, run);
  const mean = (values: readonly number[]): number =>
    values.reduce((sum, value) => sum + value, 0) / values.length;
  const projectorWeight = state.parameters[1]!;
  expect(projectorWeight.some((value) => value !== 0)).toBe(true);
  expect(mean(state.lossHistory.slice(-10))).toBeLessThan(0.9 * mean(state.lossHistory.slice(0, 3)));
});

test('a state of another run is refused, damaged bytes too', async () => {
  const { state } = await train(x, graph, { ...kl, steps: 2 });
  await expect(train(x, graph, { ...kl, steps: 3 }, { resume: state })).rejects.toMatchObject({
    code: 'MISMATCH',
  });
  const bytes = serializeTrainState(state);
  expect(() => parseTrainState(bytes.subarray(0, bytes.length - 1))).toThrow('no training checkpoint');
  expect(() => parseTrainState(Buffer.from('hello world, this is none'))).toThrow('no training checkpoint');
});

test('a state of an earlier version, which hashed the values of the sample each time, goes on', async () => {
  const options = { ...kl, steps: 4, directions: firstAxes(x.cols, 5) };
  let asked = 0;
  const { state } = await train(x, graph, options, { shouldStop: () => asked++ === 2 });
  const { sample, digest } = await prepareSample(x, options);
  const settings = resolveSettings(options);
  const { outputDim, distance, seed } = options;
  const header = { settings, outputDim, distance, compactDistance: distance, seed, engine: 'onnx' };
  const hash = createHash('sha256').update(JSON.stringify({ ...header, rows: x.rows, cols: x.cols }));
  for (const { data } of [sample, { data: graph.neighbors }, options.directions])
    hash.update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  const earlier = { ...state, fingerprint: hash.digest('hex') };
  expect(earlier.fingerprint).not.toBe(state.fingerprint);
  const [continued, whole] = [
    await train(x, graph, options, { resume: earlier }),
    await train(x, graph, options),
  ];
  expect(continued.network).toEqual(whole.network);
  expect(continued.state.fingerprint).toBe(state.fingerprint);
  for (const fingerprint of [digest, '']) {
    const other = train(x, graph, options, { resume: { ...state, fingerprint } });
    await expect(other).rejects.toMatchObject({ code: 'MISMATCH' });
  }
});

test('a prepared sample serves several trainings and stays as it is', async () => {
  const directions = firstAxes(x.cols, 5);
  const prepared = await prepareInWorker(x, { distance: 'cosine', directions });
  const values = new Float32Array(prepared.sample.data);
  const whole = { ...graph, method: 'exact', recall: 1 } as const;
  for (const options of [
    { ...kl, steps: 3, directions },
    { ...barlow, directions },
  ]) {
    const { network } = await trainPrepared(prepared, whole, options);
    expect(network).toEqual((await train(x, graph, options)).network);
  }
  expect(prepared.sample.data.buffer).toBeInstanceOf(SharedArrayBuffer);
  expect(new Float32Array(prepared.sample.data)).toEqual(values);
});

test.each(['linear', 'flinear-1-16', 'mlp-1-16'])(
  'TLDR with a %s encoder beats a random projection widely on clusters',
  async (encoder) => {
    const drowned = { seed: 5, spread: 5, noise: 1 };
    const [train, queries] = [clusters(1200, 200, drowned), clusters(60, 200, drowned)];
    const options: TldrOptions = { ...barlow, encoder, projector: 'mlp-1-64', steps: 250, batchSize: 128 };
    const result = await trainTldr(train, options);
    expect(result.network.layers).toHaveLength(encoder.startsWith('mlp') ? 2 : 1);
    /** Share of the ten nearest in the projected space that lie in the query's own cluster. */
    const agreement = async (network: EncoderNetwork): Promise<number> => {
      const kernel = new Kernel(network);
      const found = await exactTopK(kernel.project(train), kernel.project(queries), {
        k: 10,
        distance: 'cosine',
      });
      return found.filter((index, at) => index % 12 === Math.floor(at / 10) % 12).length / found.length;
    };
    const learned = await agreement(result.network);
    const random = await agreement(randomProjection(200, { dim: 6, distance: 'cosine', seed: 1 }));
    expect(learned).toBeGreaterThan(0.85);
    expect(learned).toBeGreaterThan(random + 0.1);
  },
);

describe('edges', () => {
  test('rows that are not finite are named', async () => {
    const broken = clusters(50, 8);
    broken.data[17 * 8 + 3] = Number.NaN;
    await expect(trainTldr(broken, { ...kl, outputDim: 2 })).rejects.toMatchObject({
      code: 'INVALID_DATA',
      message: expect.stringContaining('row 17'),
    });
  });

  test.each([8, 9, 0, 1.5])('d = %d of 8 is refused', async (outputDim) => {
    const bad = trainTldr(clusters(50, 8), { ...kl, outputDim });
    await expect(bad).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
      message: expect.stringContaining('cannot reduce 8-d'),
    });
  });

  test.each([kl, barlow])(
    'fewer points than the batch and than k shrink both; zero rows and constant dimensions do no harm',
    async (options) => {
      const small = clusters(7, 8);
      for (let i = 0; i < 7; i++) small.data[i * 8 + 2] = 3;
      row(small, 4).fill(0);
      const {
        state,
        network,
        graph: found,
      } = await trainTldr(small, { ...options, batchSize: 64, nNeighbors: 20, steps: 4, outputDim: 3 });
      expect(found.k).toBe(6);
      expect(state.step).toBe(4);
      expect(network.layers[0]!.weight.data.every(Number.isFinite)).toBe(true);
    },
  );

  test('a training that diverges says so', async () => {
    const wild = train(x, graph, { ...barlow, learningRate: 1e30, projector: 'mlp-1-32', steps: 30 });
    await expect(wild).rejects.toMatchObject({
      code: 'INVALID_DATA',
      message: expect.stringContaining('smaller learning rate'),
    });
  });

  test('a training whose last update diverges says so, too', async () => {
    const wild = train(x, graph, { ...kl, learningRate: 1e300, steps: 1 });
    await expect(wild).rejects.toMatchObject({
      code: 'INVALID_DATA',
      message: expect.stringContaining('training diverged'),
    });
  });

  test('told to stop, it hands over its state, and the event loop stays free meanwhile', async () => {
    const controller = new AbortController();
    let turns = 0;
    const timer = setInterval(() => turns++, 1);
    const result = await trainTldr(
      x,
      { ...kl, steps: 100_000 },
      {
        signal: controller.signal,
        onProgress: ({ step, done }) => {
          if (step === 'training' && done > 20) controller.abort();
        },
      },
    );
    clearInterval(timer);
    expect(result.finished).toBe(false);
    expect(result.state.step).toBeGreaterThan(20);
    expect(turns).toBeGreaterThan(0);
  });

  test('Barlow Twins makes nothing of directions', async () => {
    const options = { ...barlow, encoder: 'residual-8', learningRate: 0.001 };
    const along = await train(x, graph, { ...options, directions: firstAxes(x.cols, 4) });
    expect(along.network).toEqual((await train(x, graph, options)).network);
  });

  test('directions of another space are refused', async () => {
    await expect(train(x, graph, { ...kl, directions: firstAxes(23, 4) })).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
      message: 'directions of 23 dimensions: expected 24',
    });
  });

  test.each([
    { batchSize: 1 },
    { learningRate: -1 },
    { lambda: Number.NaN },
    { steps: 2.5 },
    { encoder: 'tree' },
    { epochs: 1, steps: 1 },
  ])('settings out of range are refused: %j', async (bad) => {
    await expect(train(x, graph, { ...kl, ...bad })).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
    });
  });
});

describe.each([
  ['an offset of 1,000', () => 1000],
  ['one constant dimension of 1,000', (j: number) => (j === 23 ? 1000 : 0)],
])('a Euclidean sample with %s', (_name, offset) => {
  /** Steps of 1/64: exact at 1,000, so that the moved sample holds the same differences bit for bit. */
  const onGrid = {
    ...x,
    data: x.data.map((value, at) => (at % 24 === 23 ? 0 : Math.round(value * 64) / 64)),
  };
  const moved = { ...onGrid, data: onGrid.data.map((value, at) => value + offset(at % 24)) };

  test.each(['linear', 'flinear-1-16', 'mlp-1-16'])(
    'is learned as if it lay around the origin (%s)',
    async (encoder) => {
      for (const distance of ['euclid', 'manhattan'] as const) {
        const options: TldrOptions = { ...kl, encoder, distance, steps: 20 };
        const [here, far] = [await train(onGrid, graph, options), await train(moved, graph, options)];
        far.state.lossHistory.forEach((loss, i) => expect(loss).toBeCloseTo(here.state.lossHistory[i]!, 4));
        // The same map but for a constant, which no Euclidean distance sees; with a bias, none at all.
        const [a, b] = [new Kernel(here.network).project(onGrid), new Kernel(far.network).project(moved)];
        const constant =
          encoder === 'linear' ? row(b, 0).map((value, j) => value - row(a, 0)[j]!) : undefined;
        for (let i = 0; i < a.rows; i++) {
          for (let j = 0; j < a.cols; j++) {
            const expected = row(a, i)[j]! + (constant?.[j] ?? 0);
            expect(Math.abs(row(b, i)[j]! - expected)).toBeLessThan(0.02);
          }
        }
      }
    },
  );
});

describe('optimisers', () => {
  const ops = new ReferenceOps();
  const tensor = (...data: number[]): Reference => ({
    shape: [1, data.length],
    data: Float64Array.from(data),
  });
  const scalar = (value: number): Reference => ops.constant(value);

  test('adam moves as Kingma and Ba write it', () => {
    let [p, m, v] = [1, 0, 0];
    let state = { parameter: tensor(1), slots: [tensor(0), tensor(0)] as readonly Reference[] };
    for (let t = 1; t <= 3; t++) {
      const g = 0.5 * t;
      m = 0.9 * m + 0.1 * g;
      v = 0.999 * v + 0.001 * g * g;
      p -= (0.1 * (m / (1 - 0.9 ** t))) / (Math.sqrt(v / (1 - 0.999 ** t)) + 1e-8);
      const scalars = adam().scalars(0.1, t).map(scalar);
      state = adam().update<Reference>(ops, { ...state, gradient: tensor(g), kind: 'weight' }, scalars);
      expect(state.parameter.data[0]).toBeCloseTo(p, 12);
    }
  });

  test('lars scales weights by their norms and leaves the rest alone', () => {
    const run = (kind: ParameterKind): Reference =>
      lars({ momentum: 0.5, eta: 0.1, weightDecay: 0.01 }).update<Reference>(
        ops,
        { parameter: tensor(3, 4), gradient: tensor(1, 0), slots: [tensor(2, 2)], kind },
        [scalar(0.2)],
      ).parameter;
    const step = [1 + 0.03, 0.04];
    const factor = (0.1 * 5) / Math.hypot(...step);
    expect(run('weight').data[0]).toBeCloseTo(3 - 0.2 * (0.5 * 2 + factor * step[0]!), 9);
    expect(run('weight').data[1]).toBeCloseTo(4 - 0.2 * (0.5 * 2 + factor * step[1]!), 9);
    for (const kind of ['gamma', 'beta'] as const)
      expect([...run(kind).data]).toEqual([3 - 0.2 * 2, 4 - 0.2 * 1]);
  });

  test.each([
    ['zero weights', [0, 0], [1, 2], [-0.2, -0.4]],
    ['a zero gradient', [3, 4], [0, 0], [3, 4]],
    ['both zero', [0, 0], [0, 0], [0, 0]],
  ])('lars takes the plain step for %s', (_name, weight, gradient, expected) => {
    const { parameter } = lars({ weightDecay: 0 }).update<Reference>(
      ops,
      { parameter: tensor(...weight), gradient: tensor(...gradient), slots: [tensor(0, 0)], kind: 'weight' },
      [scalar(0.2)],
    );
    expect([...parameter.data]).toEqual(expected);
  });

  test.each([
    ['on the way forward', 0],
    ['on the way back', 1],
  ])('a step of tfjs that is stopped %s changes nothing', async (_where, askedBefore) => {
    const definition: StepDefinition = {
      parameters: [{ name: 'p', kind: 'weight', shape: [1, 2] }],
      batchRows: 1,
      widths: [1],
      loss: <T>(tensors: Ops<T>, [p]: readonly T[], [batch]: readonly T[]) =>
        tensors.sumSquares(tensors.matmul(batch!, p!)),
    };
    const initial = { parameters: [Float32Array.of(1, 2)], slots: [[new Float32Array(2)]] };
    let asked = 0;
    const isStopped = (): boolean => asked++ === askedBefore;
    const executor = await createTfjsExecutor({
      definition,
      optimizer: lars(),
      initial,
      threads: 1,
      choice: {},
      isStopped,
    });
    expect(await executor.step([Float32Array.of(1)], 0.25, 1)).toBeNull();
    expect(asked).toBe(askedBefore + 1);
    expect(await executor.values()).toEqual(initial);
    expect(await executor.step([Float32Array.of(1)], 0.25, 1)).toBe(5);
    await executor.close();
  });

  test.each([
    ['onnx', createOnnxExecutor],
    ['tfjs', createTfjsExecutor],
  ])('%s moves zero weights by lars', async (_engine, create) => {
    const definition: StepDefinition = {
      parameters: [{ name: 'p', kind: 'weight', shape: [1, 2] }],
      batchRows: 1,
      widths: [1],
      loss: <T>(tensors: Ops<T>, [p]: readonly T[], [batch]: readonly T[]) =>
        tensors.sumSquares(tensors.sub(tensors.matmul(batch!, p!), tensors.constant(1))),
    };
    const initial = { parameters: [new Float32Array(2)], slots: [[new Float32Array(2)]] };
    const executor = await create({ definition, optimizer: lars(), initial, threads: 1, choice: {} });
    await executor.step([Float32Array.of(1)], 0.25, 1);
    expect((await executor.values()).parameters[0]).toEqual(Float32Array.of(0.5, 0.5));
    await executor.close();
  });

  test('the rate rises, peaks and falls to its floor', () => {
    const schedule = { peak: 2, warmUpSteps: 10, totalSteps: 110, floor: 0.001 };
    expect(learningRateAt(0, schedule)).toBeCloseTo(0.2, 12);
    expect(learningRateAt(9, schedule)).toBe(2);
    expect(learningRateAt(10, schedule)).toBe(2);
    expect(learningRateAt(60, schedule)).toBeCloseTo(2 * (0.001 + 0.999 * 0.5), 12);
    expect(learningRateAt(110, schedule)).toBeCloseTo(0.002, 12);
  });

  test('the temperature gives the perplexity it was asked for', () => {
    const tau = calibrateTemperature(x, 'dot', { perplexity: 20, seed: 1 });
    const sharper = calibrateTemperature(x, 'dot', { perplexity: 5, seed: 1 });
    expect(tau).toBeGreaterThan(sharper);
    let entropy = 0;
    for (let i = 0; i < 10; i++) {
      const logits = Array.from(
        { length: 600 },
        (_, j) => row(x, j).reduce((sum, value, k) => sum + value * row(x, i)[k]!, 0) / tau,
      ).filter((_, j) => j !== i);
      const top = Math.max(...logits);
      const weights = logits.map((logit) => Math.exp(logit - top));
      const total = weights.reduce((sum, weight) => sum + weight, 0);
      entropy -=
        weights.reduce(
          (sum, weight) => sum + (weight === 0 ? 0 : (weight / total) * Math.log(weight / total)),
          0,
        ) / 10;
    }
    expect(Math.exp(entropy)).toBeGreaterThan(12);
    expect(Math.exp(entropy)).toBeLessThan(33);
  });
});
