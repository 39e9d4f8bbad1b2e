import { expect, test } from '@jest/globals';
import { matrix, type Matrix } from '../../src/core/matrix.js';
import { Deadline } from '../../src/train/deadline.js';
import { Rng } from '../../src/core/rng.js';
import { rotateOutput } from '../../src/encoder/rotation.js';
import { geometryOf, type Candidate } from '../../src/select/candidate.js';
import { fitClosedForms } from '../../src/select/fit-closed-forms.js';
import { fitLearned, learnedCandidate } from '../../src/select/fit-learned.js';
import { refitWinner, type FirstFit } from '../../src/select/refit.js';
import type { Objective, Scored } from '../../src/select/score-candidates.js';
import { trainEncoder } from '../../src/select/train-encoder.js';
import type { TrainingSchedule } from '../../src/select/training-schedules.js';
import { pcaEncoder } from '../support/migrate/pca-encoder.js';

function sample(rows: number, cols: number): Matrix {
  const rng = new Rng(8);
  const x = matrix(rows, cols);
  for (let i = 0; i < rows; i++)
    for (let j = 0; j < cols; j++) x.data[i * cols + j] = rng.normal() * 0.85 ** j;
  return x;
}

// A small rate: after so few steps, a larger one is no step ahead.
const quick = { dim: 6, seed: 1, steps: 30, nNeighbors: 5, learningRate: 0.001, threads: 1 };
const SHIPS = ['neighbourhood-kl', 'pca'] as const;

test.each(SHIPS)('%s is fitted again to all rows but a few; the figures stay those before', async (ship) => {
  const { encoder, report, candidates } = await trainEncoder(sample(900, 32), { ...quick, ship });
  const { refit, confirmQueries, trainRows } = report!;
  expect(trainRows).toBe(900 - 135);
  expect(refit).toMatchObject({ rows: 900 - 45, queries: 45, shipped: true });
  expect(confirmQueries).toBe(45);
  expect(refit!.steps).toBe(ship === 'pca' ? 0 : 10);
  expect(refit!.after).toBeGreaterThanOrEqual(refit!.before - 0.005);
  const measured = candidates.get(ship)!;
  expect(encoder!.fingerprint).not.toBe(measured.fingerprint);
  expect(encoder!.metadata).toMatchObject({
    metrics: measured.metadata.metrics,
    compactDistance: measured.metadata.compactDistance,
    hyperParameters: { refitRows: 855 },
  });
  const again = await trainEncoder(sample(900, 32), { ...quick, ship });
  expect(again.encoder!.fingerprint).toBe(encoder!.fingerprint);
});

test('it is left out if it is not wanted, or if queries judge and all rows were for training', async () => {
  const options = { ...quick, ship: 'neighbourhood-kl' };
  const without = await trainEncoder(sample(900, 32), { ...options, refit: false });
  expect(without.report).toMatchObject({ refit: null, notRefitted: null });
  expect(without.encoder!.fingerprint).toBe(without.candidates.get('neighbourhood-kl')!.fingerprint);
  const asked = await trainEncoder(sample(900, 32), { ...options, queries: sample(60, 32) });
  expect(asked.report).toMatchObject({ refit: null, notRefitted: 'its first fit had all rows already' });
  const prefix = await trainEncoder(sample(900, 32), { ...quick, ship: 'prefix' });
  expect(prefix.report).toMatchObject({ refit: null, notRefitted: 'prefix does not depend on the rows' });
});

test('a run that is stopped in the second fit goes on to the very same encoder', async () => {
  const options = { ...quick, ship: 'neighbourhood-kl' };
  const whole = await trainEncoder(sample(900, 32), options);
  const controller = new AbortController();
  const stopped = await trainEncoder(sample(900, 32), {
    ...options,
    signal: controller.signal,
    onProgress: ({ step, done }) => {
      if (step === 'training neighbourhood-kl, all rows' && done === 4) controller.abort();
    },
  });
  expect(stopped.encoder).toBeNull();
  expect([...stopped.states.keys()]).toEqual(['neighbourhood-kl', 'neighbourhood-kl, all rows']);
  const resumed = await trainEncoder(sample(900, 32), { ...options, resume: stopped.states });
  expect(resumed.encoder!.fingerprint).toBe(whole.encoder!.fingerprint);
  expect(whole.report!.refit).toMatchObject({ steps: 10 });
});

test('labels judge the second fit if they chose the first one', async () => {
  const labels = Int32Array.from({ length: 900 }, (_, i) => i % 3);
  const options = { ...quick, labels, objective: 'relevance' } as const;
  const { report } = await trainEncoder(sample(900, 32), options);
  const { before, after } = report!.refit!;
  const shipped = report!.candidates.find(({ name }) => name === report!.shipped)!;
  // By labels that mean nothing, every encoder is bad.
  for (const value of [before, after]) {
    expect(Math.abs(value - shipped.objective)).toBeLessThan(0.05);
    expect(value).toBeLessThan(shipped.recallAt10 - 0.2);
  }
});

/** The first fit of a sample, with PCA as the winner. */
async function firstFit(x: Matrix, changed: Partial<FirstFit['options']> = {}): Promise<FirstFit> {
  const options = { dim: 4, seed: 1, threads: 1, ...changed };
  const geometry = geometryOf(x, 'cosine');
  const closed = await fitClosedForms(x, { ...options, geometry, fitQueries: null });
  const candidate = closed.candidates.find(({ name }) => name === 'pca')!;
  const deadline = new Deadline(Number.POSITIVE_INFINITY);
  const shared = { closed, geometry, options, deadline, learned: [], states: new Map() };
  return { ...shared, winner: scored(candidate), compactDistance: 'cosine' };
}

function scored(candidate: Candidate): Scored {
  const empty = new Float64Array(0);
  const recall = { recallAt10: 0, r10At30: 0, r10At100: 0, interval: [0, 0], perQuery: empty } as const;
  const found = new Int32Array(0);
  return { candidate, compactDistance: 'cosine', recall, scores: empty, found, unseen: null };
}

/** An objective that is 1 for the first fit and less by this much for the second one. */
function falling(by: number): Objective {
  let calls = 0;
  return (results) => (results.length > 0 ? Float64Array.of(1 - by * calls++) : new Float64Array(0));
}

test('a second fit that finds less is not shipped', async () => {
  const x = sample(400, 16);
  const kept = sample(20, 16);
  const first = await firstFit(x);
  const worse = await refitWinner({ x, kept, objective: falling(0.1) }, first);
  expect(worse.report).toMatchObject({ before: 1, after: 0.9, shipped: false });
  expect(worse.candidate).toBe(first.winner.candidate);
  const alike = await refitWinner({ x, kept, objective: falling(0.001) }, first);
  expect(alike.report).toMatchObject({ before: 1, after: 0.999, shipped: true });
  expect(alike.candidate).not.toBe(first.winner.candidate);
  // After an encoder to go on from, nothing that finds less is shipped at all.
  const after = await firstFit(x, { from: await pcaEncoder(x, 4) });
  const went = await refitWinner({ x, kept, objective: falling(0.001) }, after);
  expect(went.report).toMatchObject({ after: 0.999, shipped: false });
});

test('the rotation for stored codes is part of the second fit', async () => {
  const x = sample(400, 16);
  const first = await firstFit(x, { storedAs: 'scalar' });
  const plain = first.winner.candidate;
  const turned = {
    ...plain,
    network: rotateOutput(plain.network, 3),
    hyperParameters: { storedAs: 'scalar', rotation: 3 },
  };
  const sameRows = { x, kept: sample(20, 16), objective: falling(0) };
  const { candidate, report } = await refitWinner(sameRows, { ...first, winner: scored(turned) });
  expect(report).toMatchObject({ rows: 400, shipped: true });
  expect(candidate!.network).toEqual(turned.network);
  expect(candidate!.hyperParameters).toMatchObject({ storedAs: 'scalar', rotation: 3, refitRows: 400 });
});

test('a training for stored codes is fitted again, and judged by the codes', async () => {
  const options = { ...quick, ship: 'neighbourhood-kl', storedAs: 'binary-1bit' } as const;
  const { report, encoder } = await trainEncoder(sample(900, 32), options);
  const shipped = report!.candidates.find(({ name }) => name === 'neighbourhood-kl')!;
  expect(report!.refit).toMatchObject({ rows: 855, steps: 10 });
  expect(Math.abs(report!.refit!.before - shipped.recallAt10)).toBeLessThan(0.1);
  const { rotation } = encoder!.metadata.hyperParameters;
  expect(rotation ?? 0).toBe(report!.stored!.rotation);
});

test('if the second training diverges, the first fit is kept, and the report says why', async () => {
  const x = sample(400, 16);
  const warnings: string[] = [];
  const log = (level: string, message: string): void => {
    if (level === 'warn') warnings.push(message);
  };
  const first = await firstFit(x, { log });
  const settings = { loss: 'neighbourhood-kl', steps: 2, nNeighbors: 5 } as const;
  const plan: TrainingSchedule = { name: 'neighbourhood-kl', init: 'pca', settings };
  const { axes, directions } = first.closed;
  const run = { ...first, axes, directions, plans: [plan], isAsked: () => false };
  const { learned } = await fitLearned(x, run);
  const winner = scored(learnedCandidate(learned[0]!, first));
  const spoilt = learned.map((one) => ({
    ...one,
    plan: { ...plan, settings: { ...settings, learningRate: 1e300 } },
  }));
  const kept = sample(20, 16);
  const second = await refitWinner({ x, kept, objective: falling(0) }, { ...first, winner, learned: spoilt });
  expect(second).toMatchObject({ report: null, reason: 'its training on all rows diverged' });
  expect(second.candidate).toBe(winner.candidate);
  expect(warnings).toEqual([expect.stringMatching(/^neighbourhood-kl, all rows is skipped: /)]);
});
