import { Rng } from '../../../src/core/rng.js';
import type { CollectionComparison } from '../../../src/evaluate/compare-collections.js';
import type { FormReport } from '../../../src/evaluate/fidelity.js';
import { spread } from '../../../src/evaluate/ranking.js';

const QUERIES = 400;
const LANGUAGES = ['de', 'en', 'fr', 'ja', 'pt-BR', 'sv'];

/** Two collections compared, every part there: invented, like all numbers of this file. */
export function comparisonFixture(): CollectionComparison {
  const rng = new Rng(11);
  const perQuery = [
    { name: 'full, as configured', values: recalls(rng, 0.99) },
    { name: 'compact', values: recalls(rng, 0.82) },
    { name: 'rescored', values: recalls(rng, 0.96) },
  ];
  const strata = LANGUAGES.map((value, i) => ({
    value,
    queries: 90 - 11 * i,
    recall: Object.fromEntries(perQuery.map(({ name }, f) => [name, [0.96, 0.8, 0.93][f]! + 0.004 * i])),
    min: 0.4,
    p5: 0.6 + 0.01 * i,
  }));
  return {
    queries: QUERIES,
    storedPoints: false,
    ks: [1, 10],
    headlineK: 10,
    rescore: 100,
    seed: 0,
    perQuery,
    forms: perQuery.map(({ name, values }, f) => formOf(name, values, f)),
    served: 'rescored',
    exactQuality: { mapAt100: 0.412, ndcgAt10: 0.53, mrrAt10: 0.61, judgedQueries: 388 },
    relevantPoints: { named: 812, found: 790 },
    points: { source: 1_240_338, target: 1_240_338 },
    bytes: {
      source: { vectorsRamBytes: 5.08e9, vectorsDiskBytes: 5.08e9, indexRamBytes: 1.6e8 },
      target: { vectorsRamBytes: 3.17e8, vectorsDiskBytes: 5.4e9, indexRamBytes: 1.6e8 },
    },
    examples: [],
    strata: {
      field: 'meta.language',
      of: 'first true result',
      k: 10,
      strata,
      rare: { value: '(rare)', queries: 7, recall: strata[0]!.recall, min: 0.5, p5: 0.5, values: 4 },
    },
  };
}

function formOf(name: string, values: Float64Array, f: number): FormReport {
  return {
    name,
    dim: f === 1 ? 64 : 1024,
    recall: [1, 10].map((k) => ({ k, ...spread(values, k) })),
    topOne: 0.99 - 0.05 * f,
    rankCorrelation: f === 1 ? 0.71 : null,
    scoreShift: f === 1 ? { mean: -0.0213, absoluteP95: 0.0711 } : null,
    latencyMs: { p50: 4.1 - f, p95: 7.31 - f, p99: 11.9 },
    quality: { mapAt100: 0.4, ndcgAt10: 0.52, mrrAt10: 0.6 - 0.01 * f, judgedQueries: 388 },
  };
}

function recalls(rng: Rng, mean: number): Float64Array {
  return Float64Array.from({ length: QUERIES }, () => {
    let found = 0;
    for (let i = 0; i < 10; i++) if (rng.uniform() < mean) found++;
    return found / 10;
  });
}
