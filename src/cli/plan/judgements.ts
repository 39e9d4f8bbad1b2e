import { pickVector } from '../../store/pick-vector.js';
import type { VectorSource } from '../../store/vector-source.js';
import type { PlanOptions, PlanSetup } from '../../plan/prepare-plan.js';
import type { ConsoleRun } from '../console/command-output.js';
import { readPointJudgements, sampleJudged } from '../train/point-judgements.js';
import type { RelevanceFlags } from '../train/relevance-flags.js';

interface PlanJudgementFlags extends RelevanceFlags {
  readonly vector?: string;
  readonly seed: number;
}

/**
 * Returns how the encoders of a plan are scored. Files are read at once, the sample when it is drawn.
 * @throws NOT_FOUND when a file cannot be read
 * @throws INVALID_DATA when a line of a file is unusable, naming the line
 */
export async function planJudgements(
  collection: string,
  flags: PlanJudgementFlags,
  { store, run }: { readonly store: VectorSource; readonly run: ConsoleRun },
): Promise<Pick<PlanOptions, 'queries' | 'objective' | 'draw'>> {
  const vector = pickVector(await store.describe(collection), flags.vector);
  const judgements = await readPointJudgements(flags, { ...vector, keys: store.keys }, run.signal);
  const { objective, queries } = judgements;
  const choice = { size: flags.sample, seed: flags.seed, ids: null, run };
  return {
    objective,
    queries,
    draw: async () => {
      const { sample, relevance } = await sampleJudged({ store, collection, vector }, judgements, choice);
      return { vectors: sample.x, labels: relevance.labels, gains: relevance.gains };
    },
  };
}

/** Returns the same as flags of `train`, without --queries if they were too few to train with. */
export function trainFlagsOf(
  { objective, labels, labelsField, queries, queryColumn, qrels }: PlanJudgementFlags,
  { givenQueries }: PlanSetup,
): [string, string][] {
  const trains = (givenQueries?.training ?? 0) > 0;
  const pairs = Object.entries({
    '--objective': objective,
    '--labels': labels,
    '--labels-field': labelsField,
    '--queries': trains ? queries : undefined,
    '--query-column': trains ? queryColumn : undefined,
    '--qrels': qrels,
  });
  return pairs.flatMap(([flag, value]) => (value === undefined ? [] : [[flag, value]]));
}
