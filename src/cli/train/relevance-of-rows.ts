import type { Distance } from '../../core/distance.js';
import type { TrainEncoderOptions } from '../../select/train-encoder-options.js';
import { labelNumbers, readLabels, readQrels, readQueryVectors, rowDoc } from './relevance-files.js';
import { usage, type RelevanceFlags } from './relevance-flags.js';

/** The training options that say how candidates are scored, and the texts of the labels by their numbers. */
export type TrainRelevance = Pick<
  TrainEncoderOptions,
  'objective' | 'labels' | 'queries' | 'gains' | 'labelFields'
> & {
  readonly labelNames?: readonly string[];
};

/**
 * Reads the files of the relevance flags, for training on a file.
 * @param shape rows of the input file, dimensions and distance
 * @throws NOT_FOUND when a file cannot be read
 * @throws INVALID_DATA when a line of a file is unusable, naming the line
 * @throws INVALID_ARGUMENT when --sample is smaller than the file
 */
export async function relevanceOfRows(
  flags: RelevanceFlags,
  shape: { readonly rows: number; readonly dim: number; readonly distance: Distance },
  signal: AbortSignal,
): Promise<TrainRelevance> {
  const { objective = 'fidelity', labels, queries, qrels } = flags;
  if ((labels !== undefined || qrels !== undefined) && shape.rows > flags.sample) {
    throw usage(
      `the file has ${shape.rows} rows, --sample takes ${flags.sample} of them: labels and qrels need all rows, raise --sample`,
    );
  }
  const of = { ...shape, column: flags.queryColumn };
  const vectors = queries === undefined ? undefined : await readQueryVectors(queries, of, signal);
  const named =
    labels === undefined ? undefined : labelNumbers(await readLabels(labels, shape.rows, signal), []);
  return {
    objective,
    ...(vectors === undefined ? {} : { queries: vectors }),
    ...(named === undefined ? {} : { labels: named.base, labelNames: named.names }),
    ...(qrels === undefined || vectors === undefined
      ? {}
      : { gains: await readQrels(qrels, { queries: vectors.rows, doc: rowDoc(shape.rows) }, signal) }),
  };
}
