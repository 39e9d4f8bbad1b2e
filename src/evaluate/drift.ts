import { expectDefined, TldrError } from '../core/errors.js';
import type { Matrix } from '../core/matrix.js';
import type { PerQuery } from '../core/recall-per-query.js';
import type { Encoder } from '../encoder/model.js';
import type { SampleSummary } from '../encoder/sample-summary.js';
import type { FormReport } from './fidelity.js';
import { bootstrapInterval, mean } from './ranking.js';

/** New vectors, or the others. */
export interface DriftGroup {
  readonly name: 'new' | 'old';
  readonly vectors: number;
  /** Share of them that is far; null without vectors. */
  readonly farShare: number | null;
  /** Mean recall by form of search; null without vectors. */
  readonly recall: Readonly<Record<string, number | null>>;
}

/** How far the vectors of a search lie from the sample that the encoder was fitted to. */
export interface Drift {
  /** The vectors that were compared with the sample, in words. */
  readonly of: string;
  readonly vectors: number;
  readonly far: number;
  /** Share of far vectors, of the new ones if a filter names them, with its 95 % interval. */
  readonly share: number;
  readonly interval: readonly [number, number];
  /** The share without any drift. */
  readonly expectedShare: number;
  /** Whether a filter says which points are new. Otherwise the far ones are. */
  readonly newBy: 'filter' | 'distance';
  readonly k: number;
  readonly groups: readonly [DriftGroup, DriftGroup];
}

/** What `measureDrift` compares with the sample. */
export interface DriftInput {
  readonly encoder: Encoder;
  /** The full vectors: n x inputDim. */
  readonly vectors: Matrix;
  readonly as: 'points' | 'queries';
  readonly of: string;
  /** 1 for each vector that a filter calls new; null if distance decides. */
  readonly isNew: Uint8Array | null;
  /** Recall of each vector as a query, by form. */
  readonly perQuery: readonly PerQuery[];
  readonly k: number;
  readonly seed: number;
}

/**
 * Returns the summary of the sample that the encoder was fitted to.
 * @throws INVALID_DATA when the encoder file has none
 */
export function sampleOf({ sample }: Encoder): SampleSummary {
  if (sample !== null) return sample;
  throw new TldrError(
    'INVALID_DATA',
    'the encoder file does not tell where its training sample lies: it was made by an earlier version, or from too few rows; train it again',
  );
}

/**
 * Compares vectors with the sample that the encoder was fitted to.
 * @throws INVALID_DATA when the encoder file has no summary of that sample
 */
export function measureDrift(input: DriftInput): Drift {
  const { encoder, vectors, as, of, isNew, perQuery, k, seed } = input;
  const compact = as === 'points' ? encoder.project(vectors) : encoder.projectQueries(vectors);
  const sample = sampleOf(encoder);
  const isFar = expectDefined(encoder.farFromSample(compact, as), 'the distances to the sample');
  const fresh = isNew ?? isFar;
  const group = (name: 'new' | 'old'): DriftGroup => {
    const rows = Array.from(fresh.keys()).filter((i) => (fresh[i] === 1) === (name === 'new'));
    const meanOf = (values: ArrayLike<number>): number | null =>
      rows.length === 0 ? null : mean(rows.map((i) => values[i]!));
    return {
      name,
      vectors: rows.length,
      farShare: meanOf(isFar),
      recall: Object.fromEntries(perQuery.map((form) => [form.name, meanOf(form.values)])),
    };
  };
  const judged = Float64Array.from(isNew === null ? isFar : isFar.filter((_, i) => isNew[i] === 1));
  return {
    of,
    vectors: vectors.rows,
    far: isFar.reduce((sum, far) => sum + far, 0),
    share: mean(judged),
    interval: bootstrapInterval(judged, seed),
    expectedShare: sample.expectedShare,
    newBy: isNew === null ? 'distance' : 'filter',
    k,
    groups: [group('new'), group('old')],
  };
}

/** Returns the forms with their measures of drift, which acceptance terms can be about. */
export function withDrift<Form extends FormReport>(
  forms: readonly Form[],
  { share, groups: [fresh, old] }: Drift,
): readonly Form[] {
  return forms.map((form) => ({
    ...form,
    drift: {
      share,
      newRecall: fresh.recall[form.name] ?? null,
      oldRecall: old.recall[form.name] ?? null,
    },
  }));
}
