import { expect, test } from '@jest/globals';
import type { EncoderNetwork } from '../../src/encoder/network.js';
import { matrix } from '../../src/core/matrix.js';
import { choose, withoutOverfitted, type Scored } from '../../src/select/score-candidates.js';

const OUTPUT_DIM = 2;

/** A map of so many input dimensions, which cost one multiplication each per output, on a thousand queries. */
function judged(
  name: string,
  mean: number,
  { inputDim = 8, twoMaps = false }: { inputDim?: number; twoMaps?: boolean } = {},
): Scored {
  const layer = { weight: matrix(inputDim, OUTPUT_DIM), bias: null, relu: false };
  const network: EncoderNetwork = { normalizeInput: false, layers: [layer], normalizeOutput: false };
  const scores = new Float64Array(1000).fill(mean);
  return {
    candidate: {
      name,
      network,
      hyperParameters: {},
      seconds: 1,
      distances: ['cosine'],
      ...(twoMaps ? { queryNetwork: network } : {}),
    },
    compactDistance: 'cosine',
    recall: { recallAt10: mean, r10At30: mean, r10At100: mean, interval: [mean, mean], perQuery: scores },
    scores,
    found: new Int32Array(0),
    unseen: null,
  };
}

const chosen = (...all: Scored[]): string | undefined => choose(all)?.candidate.name;

test('the best is chosen, however much it costs', () => {
  const dear = judged('dear', 0.802, { inputDim: 80 });
  expect(chosen(judged('cheap', 0.8), dear)).toBe('dear');
  expect(chosen()).toBeUndefined();
});

test('a tie of 0.1 points goes to fewer multiplications', () => {
  const dear = judged('dear', 0.8009, { inputDim: 80 });
  expect(chosen(dear, judged('cheap', 0.8))).toBe('cheap');
});

test('a tie at one cost goes to the better, unless that has two maps', () => {
  const [plain, better] = [judged('plain', 0.8), judged('better', 0.8005)];
  expect(chosen(plain, better)).toBe('better');
  expect(chosen(judged('two', 0.8009, { twoMaps: true }), plain)).toBe('plain');
  expect(chosen(judged('two', 0.802, { twoMaps: true }), plain)).toBe('two');
});

test('what ties with the best is measured from it, not from one to the next', () => {
  const cheapest = judged('cheapest', 0.7985, { inputDim: 4 });
  expect(chosen(judged('best', 0.8, { inputDim: 80 }), judged('near', 0.7995), cheapest)).toBe('near');
});

const withUnseen = (name: string, unseen: number): Scored => ({
  ...judged(name, 0.8),
  unseen: new Float64Array(100).fill(unseen),
});
const kept = (...all: Scored[]): string[] => withoutOverfitted(all).map(({ candidate }) => candidate.name);

test('what finds clearly less than the better PCA in unseen groups is not shipped', () => {
  const all = [withUnseen('pca', 0.7), withUnseen('pca-uncentred', 0.71), withUnseen('close', 0.706)];
  expect(kept(...all, withUnseen('behind', 0.704))).toEqual(['pca', 'pca-uncentred', 'close']);
});

test('without unseen groups every candidate stays', () => {
  expect(kept(judged('pca', 0.7), judged('other', 0.8))).toEqual(['pca', 'other']);
});
