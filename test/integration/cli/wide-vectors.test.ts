import { afterAll, beforeAll, describe, expect } from '@jest/globals';
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { readNpy, writeNpy } from '../../../src/files/npy.js';
import { Encoder } from '../../../src/encoder/model.js';
import { matrix, row, type Matrix } from '../../../src/core/matrix.js';
import { Rng } from '../../../src/core/rng.js';
import { openCliPlace, type CliPlace } from '../../support/cli/cli-on-test-server.js';
import { testsOn } from '../../support/server/test-server.js';

const test = await testsOn('any');

/** The most that a server takes. */
const DIM_MAX = 65_536;
const WIDE = 16_000;
const ROWS = 110;
/** One matrix of WIDE x WIDE takes 1e9 bytes in single precision, beside 0.6e9 of everything else. */
const PEAK_BYTES_MAX = 1.5e9;
let place: CliPlace;

/** Each thread writes the process's peak when it ends; the main thread ends last. */
const peakFile = (): string => join(place.cwd, 'peak');
const reporter = `
  import { readFileSync, writeFileSync } from 'node:fs';
  process.on('exit', () => {
    const peak = /VmHWM:\\s+(\\d+)/.exec(readFileSync('/proc/self/status', 'utf8'));
    writeFileSync('peak', peak?.[1] ?? '');
  });`;

async function expectPeakBelow(bytes: number): Promise<void> {
  const kilobytes = Number(await readFile(peakFile(), 'utf8'));
  expect(kilobytes).toBeGreaterThan(0);
  expect(kilobytes * 1024).toBeLessThan(bytes);
  await rm(peakFile());
}

/** Rows about a few directions. */
function wideRows(rows: number, cols: number): Matrix {
  const rng = new Rng(1);
  const directions = Array.from({ length: 6 }, () =>
    Float32Array.from({ length: cols }, () => rng.uniform() - 0.5),
  );
  const x = matrix(rows, cols);
  for (let i = 0; i < rows; i++) {
    const strengths = directions.map(() => rng.normal());
    for (let j = 0; j < cols; j++) {
      let sum = 0.1 * rng.uniform();
      directions.forEach((direction, l) => (sum += strengths[l]! * direction[j]!));
      // Short as text.
      x.data[i * cols + j] = Math.round(64 * sum) / 64;
    }
  }
  return x;
}

beforeAll(async () => {
  const preload = `data:text/javascript,${encodeURIComponent(reporter)}`;
  place = await openCliPlace('wide-vectors', { NODE_OPTIONS: `--import=${preload}` });
});

afterAll(() => place.end());

const train = ['train', '--dim', '8', '--out', 'wide.onnx', '--force', '--json'];
const planned = ['--budget', '1s', '--deterministic'];

async function fillCollection(name: string, x: Matrix, distance: string): Promise<void> {
  await place.rest('PUT', `/collections/${name}`, { vectors: { size: x.cols, distance } });
  for (let start = 0; start < x.rows; start += 10) {
    const points = Array.from({ length: Math.min(10, x.rows - start) }, (_, i) => ({
      id: start + i,
      vector: [...row(x, start + i)],
    }));
    await place.rest('PUT', `/collections/${name}/points?wait=true`, { points });
  }
}

describe('memory grows with rows x dimensions', () => {
  test('a file of fewer rows than dimensions', async () => {
    const x = wideRows(ROWS, WIDE);
    const blocks = async function* (): AsyncGenerator<Matrix> {
      yield await Promise.resolve(x);
    };
    await writeNpy(join(place.cwd, 'wide.npy'), x, blocks());
    const result = await place.cli(...train, ...planned, '--input', 'wide.npy');
    expect(result.stderr).not.toContain('error');
    expect(result.code).toBe(0);
    await expectPeakBelow(PEAK_BYTES_MAX);
    const encoder = await Encoder.load(join(place.cwd, 'wide.onnx'));
    expect(encoder).toMatchObject({ inputDim: WIDE, outputDim: 8 });
    expect(encoder.metadata.metrics['recall@10']).toBeGreaterThan(0.8);
    const judged = await place.cli('evaluate', '--base', 'wide.npy', '--encoder', 'wide.onnx', '--json');
    expect(judged.code).toBe(0);
    await expectPeakBelow(PEAK_BYTES_MAX);
    const project = ['project', '--encoder', 'wide.onnx', '--input', 'wide.npy', '--out', 'z.npy', '--json'];
    expect((await place.cli(...project)).code).toBe(0);
    await expectPeakBelow(PEAK_BYTES_MAX);
    expect((await readNpy(join(place.cwd, 'z.npy'))).data).toEqual(encoder.project(x).data);
    const tfjs = ['--input', 'wide.npy', '--engine', 'tfjs', '--loss', 'neighbourhood-kl', '--steps', '2'];
    const other = await place.cli(...train, ...tfjs);
    expect(other.code).toBe(0);
    await expectPeakBelow(PEAK_BYTES_MAX);
    expect(other.stdout).toContain('"engine":"tfjs');
  });

  test('a plan for fewer points than dimensions', async () => {
    await fillCollection('planned', wideRows(ROWS, WIDE), 'Cosine');
    const plan = ['plan', 'planned', '--datatypes', 'float32', '--oversampling', '1', '--json'];
    // As many points span no more directions than that.
    const previewed = await place.cli(...plan, '--dry-run');
    expect(previewed.json()).toMatchObject({ dryRun: true, dims: [13, 27, 55], samplePoints: ROWS });
    const how = ['--dims', '8', '--budget', '1s', '--deterministic', '--queries-count', '4', '--yes'];
    const planned = await place.cli(...plan, ...how);
    expect(planned.code).toBe(0);
    await expectPeakBelow(PEAK_BYTES_MAX);
    const { rows } = planned.json() as { rows: { dim: number; recallAt10: number }[] };
    expect(rows.find(({ dim }) => dim === 8)?.recallAt10).toBeGreaterThan(0.8);
  });

  test('a collection of the most dimensions that the server takes', async () => {
    const x = wideRows(ROWS, DIM_MAX);
    await fillCollection('widest', x, 'Dot');
    const result = await place.cli(...train, ...planned, 'widest');
    expect(result.code).toBe(0);
    await expectPeakBelow(PEAK_BYTES_MAX);
    const encoder = await Encoder.load(join(place.cwd, 'wide.onnx'));
    expect(encoder).toMatchObject({ inputDim: DIM_MAX, outputDim: 8 });
    expect(encoder.metadata.metrics['recall@10']).toBeGreaterThan(0.8);
    expect((await place.cli('inspect', 'widest', '--json')).code).toBe(0);
    await expectPeakBelow(PEAK_BYTES_MAX);
    const names = ['widest', 'widest-small', '--encoder', 'wide.onnx', '--json'];
    expect((await place.cli('migrate', 'start', ...names, '--layout', 'compact', '--yes')).code).toBe(0);
    await expectPeakBelow(PEAK_BYTES_MAX);
    expect((await place.cli('evaluate', ...names, '--sample', '20')).code).toBe(0);
    await expectPeakBelow(PEAK_BYTES_MAX);
  });
});

test('what cannot be done says so before anything is read', async () => {
  const name = '/collections/refused';
  await place.rest('PUT', name, { vectors: { size: DIM_MAX, distance: 'Cosine' } });
  const result = await place.cli('train', 'refused', '--dim', '20000', '--out', 'never.onnx', '--json');
  expect(result.json()).toMatchObject({
    error: {
      code: 'INVALID_ARGUMENT',
      message: expect.stringMatching(
        /65536 to 20000 dimensions would take 5.24 GB, .*: give fewer dimensions/,
      ),
    },
  });
  expect(result.code).toBe(2);
});
