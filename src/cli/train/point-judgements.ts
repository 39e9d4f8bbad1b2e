import { REQUEST_IDS } from '../../store/defaults.js';
import { expectDefined, TldrError } from '../../core/errors.js';
import type { Matrix } from '../../core/matrix.js';
import type { PointId } from '../../core/point-id.js';
import { Rng } from '../../core/rng.js';
import { throwIfAborted } from '../../core/run-options.js';
import type { DenseVectorSpec } from '../../store/collection.js';
import type { StoreKeys } from '../../store/vector-source.js';
import { valuesOfPoints } from '../../evaluate/payload-strata.js';
import type { ConsoleRun } from '../console/command-output.js';
import { labelNumbers, readPointLabels, readQrels, readQueryVectors } from './relevance-files.js';
import type { RelevanceFlags } from './relevance-flags.js';
import type { TrainRelevance } from './relevance-of-rows.js';
import { sampleCollection, type SamplePlace, type TrainSample } from './sample.js';

/** Largest share of labelled points in a sample: training needs points without a label too. */
const LABELLED_SHARE = 0.5;

/** Labels, queries and qrels for the points of a collection, read before any point is read. */
export interface PointJudgements {
  readonly objective: 'fidelity' | 'relevance';
  readonly queries?: Matrix;
  /** Per query the gain of points. */
  readonly gains?: readonly ReadonlyMap<PointId, number>[];
  readonly labels?: ReadonlyMap<PointId, string>;
  /** Key of the payload that holds a point's label. */
  readonly field?: string;
}

/**
 * Reads the files of the relevance flags, for training on a collection.
 * @param vector dimensions and distance that query vectors must fit, and the keys of its points
 * @throws NOT_FOUND when a file cannot be read
 * @throws INVALID_DATA when a line of a file is unusable, naming the line
 */
export async function readPointJudgements(
  flags: RelevanceFlags,
  vector: Pick<DenseVectorSpec, 'dim' | 'distance'> & { readonly keys: StoreKeys },
  signal: AbortSignal,
): Promise<PointJudgements> {
  const { objective = 'fidelity', labels, labelsField, queries, qrels } = flags;
  const of = { ...vector, column: flags.queryColumn };
  const vectors = queries === undefined ? undefined : await readQueryVectors(queries, of, signal);
  return {
    objective,
    ...(vectors === undefined ? {} : { queries: vectors }),
    ...(labels === undefined ? {} : { labels: await readPointLabels(labels, vector.keys, signal) }),
    // Beside fidelity there may be several fields: `readLabelFields` reads them.
    ...(labelsField === undefined || objective === 'fidelity' ? {} : { field: labelsField }),
    ...(qrels === undefined || vectors === undefined
      ? {}
      : { gains: await readQrels(qrels, { queries: vectors.rows, doc: vector.keys.parse }, signal) }),
  };
}

/** A sample, and the labels or qrels of its rows. */
export interface JudgedSample {
  readonly sample: TrainSample;
  readonly relevance: TrainRelevance;
}

/**
 * Draws a sample that contains every point that the qrels name, or labelled points up to half of its size.
 * @throws INVALID_ARGUMENT when the sample is too small for the named points, NOT_FOUND when the collection
 * lacks named points, INVALID_DATA when no point of the sample has a label
 */
export async function sampleJudged(
  place: SamplePlace,
  judgements: PointJudgements,
  choice: {
    readonly size: number;
    readonly seed: number;
    readonly ids: readonly PointId[] | null;
    readonly run: ConsoleRun;
  },
): Promise<JudgedSample> {
  const { run } = choice;
  const namedBy = judgements.gains === undefined ? '--labels' : '--qrels';
  const named = namedPoints(judgements, choice);
  const sample = await sampleCollection(place, { ...choice, named, namedBy }, run);
  const ids = expectDefined(sample.ids, "the ids of a collection's sample");
  const { objective, queries, gains } = judgements;
  return {
    sample,
    relevance: {
      objective,
      ...(queries === undefined ? {} : { queries }),
      ...(gains === undefined ? {} : { gains: gainsOfRows(gains, ids, place.store.keys) }),
      ...(await labelsOfRows(place, judgements, { ids, run })),
    },
  };
}

function namedPoints(
  { gains, labels, objective }: PointJudgements,
  { size, seed }: { readonly size: number; readonly seed: number },
): readonly PointId[] {
  if (gains !== undefined) {
    const named = new Set(gains.flatMap((ofQuery) => [...ofQuery.keys()]));
    if (named.size <= size) return [...named];
    throw new TldrError(
      'INVALID_ARGUMENT',
      `--qrels names ${named.size.toLocaleString('en-US')} points, which must all be in the sample; --sample takes ${size.toLocaleString('en-US')}: raise --sample`,
    );
  }
  // Labels that are only measured must not decide what is learned from.
  const named = objective === 'fidelity' ? [] : [...(labels?.keys() ?? [])];
  const room = Math.floor(size * LABELLED_SHARE);
  if (named.length <= room) return named;
  const chosen = Array.from(new Rng(seed).permutation(named.length).subarray(0, room));
  return chosen.map((i) => named[i]).filter((id) => id !== undefined);
}

/** @throws MISMATCH when the sample of an earlier run lacks points that the judgements name */
function gainsOfRows(
  gains: readonly ReadonlyMap<PointId, number>[],
  ids: readonly PointId[],
  keys: StoreKeys,
): ReadonlyMap<number, number>[] {
  const rows = new Map(ids.map((id, row) => [id, row]));
  return gains.map((ofQuery) => {
    const moved = new Map<number, number>();
    for (const [id, gain] of ofQuery) {
      const row = rows.get(id);
      if (row === undefined) {
        throw new TldrError(
          'MISMATCH',
          `--qrels names point ${keys.format(id)}, which the checkpoint's sample does not hold: start again with another --checkpoint file`,
        );
      }
      moved.set(row, gain);
    }
    return moved;
  });
}

async function labelsOfRows(
  place: SamplePlace,
  { labels, field }: PointJudgements,
  { ids, run }: { readonly ids: readonly PointId[]; readonly run: ConsoleRun },
): Promise<Pick<TrainRelevance, 'labels' | 'labelNames'>> {
  if (labels === undefined && field === undefined) return {};
  const texts =
    field === undefined ? ids.map((id) => labels?.get(id)) : await payloadLabels(place, field, { ids, run });
  const known = texts.filter((text) => text !== undefined);
  const from = field === undefined ? '--labels' : `payload field "${field}"`;
  if (known.length === 0) {
    throw new TldrError(
      'INVALID_DATA',
      `none of the ${ids.length.toLocaleString('en-US')} points of the sample has a label from ${from}`,
    );
  }
  const { base, names } = labelNumbers(known, []);
  const count = (value: number): string => value.toLocaleString('en-US');
  run.say(
    `labels from ${from}: ${count(names.length)} different labels on ${count(known.length)} of ${count(ids.length)} points; the other ${count(ids.length - known.length)} points are not scored`,
  );
  const numbers = new Int32Array(texts.length).fill(-1);
  let next = 0;
  texts.forEach((text, i) => {
    if (text !== undefined) numbers[i] = expectDefined(base[next++], 'the number of a label');
  });
  return { labels: numbers, labelNames: names };
}

/** Returns the label of each point: the first value of its payload field. */
async function payloadLabels(
  { store, collection, vector }: SamplePlace,
  field: string,
  { ids, run }: { readonly ids: readonly PointId[]; readonly run: ConsoleRun },
): Promise<(string | undefined)[]> {
  const texts: (string | undefined)[] = [];
  let several = 0;
  for (let start = 0; start < ids.length; start += REQUEST_IDS) {
    throwIfAborted(run.signal);
    const part = ids.slice(start, start + REQUEST_IDS);
    const values = await valuesOfPoints({ store, collection, vectorName: vector.name }, part, field);
    for (const id of part) {
      const own = values.get(id) ?? [];
      if (own.length > 1) several++;
      texts.push(own[0]);
    }
    run.onProgress({ step: 'reading labels', done: texts.length, total: ids.length, unit: 'points' });
  }
  if (several > 0) {
    run.say(
      `${several.toLocaleString('en-US')} points hold several values of "${field}": the first one is their label`,
    );
  }
  return texts;
}
