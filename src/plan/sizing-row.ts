import { expectDefined, TldrError } from '../core/errors.js';
import {
  DATATYPES,
  QUANTIZATIONS,
  type Datatype,
  type Layout,
  type Quantization,
  type StorageKind,
} from '../store/collection.js';
import { certaintyOf, type RecallEvidence } from './extrapolate-recall.js';
import { recommended } from './worth-an-encoder.js';

/** The two settings of a storage kind; `datatype` is that of the vectors from which codes are computed. */
export function storageOf(
  kind: StorageKind,
  datatype: Datatype = 'float32',
): { readonly datatype: Datatype; readonly quantization: Quantization } {
  const ofVectors = DATATYPES.find((name) => name === kind);
  if (ofVectors !== undefined) return { datatype: ofVectors, quantization: 'none' };
  const codes = QUANTIZATIONS.find((name) => name === kind);
  return { datatype, quantization: expectDefined(codes, `the quantisation ${kind}`) };
}

/** Estimated bytes for one million points and for the collection. */
export interface PlanBytes {
  readonly ramBytesPerMillion: number;
  readonly diskBytesPerMillion: number;
  readonly ramBytes: number;
  readonly diskBytes: number;
}

/** The measures of one configuration. */
export interface SizingRow extends PlanBytes {
  readonly label: string;
  readonly kind: 'current' | 'full' | 'compact';
  readonly dim: number;
  readonly datatype: StorageKind | 'as configured';
  /** Links of each point in the graph (`m` of HNSW); 0 for no graph. */
  readonly hnswM: number;
  /** First-stage results per requested result; 1 means no rescoring. */
  readonly oversampling: number;
  /** The layout for a migration; null for full vectors. */
  readonly layout: Layout | null;
  /** Recall@10 on the sample, with a 95 % interval over queries. */
  readonly sampleRecallAt10: number;
  readonly sampleInterval: readonly [number, number];
  /** Expected recall@10 for the whole collection, extrapolated from the sample (`expectedRecall`). */
  readonly recallAt10: number;
  readonly interval: readonly [number, number];
  readonly ndcgAt10: number;
  readonly latencyMsP50: number;
  readonly latencyMsP95: number;
  /** Median time of a search by the server's own clock; null if the server does not say it. */
  readonly serverMsP50: number | null;
  /** The first dimensions of full vectors, if only these are indexed; null for all. */
  readonly prefix: number | null;
  /** Whether a command of this package or the server's own settings can create it. */
  readonly deployable: boolean;
  /** The measurements from which `recallAt10` and `interval` are computed. */
  readonly evidence: RecallEvidence;
}

/** A row of the report. */
export interface PlanReportRow {
  readonly label: string;
  readonly dim: number;
  readonly datatype: string;
  readonly oversampling: number;
  readonly recallAt10: number;
  readonly interval: [number, number];
  readonly ramBytes: number;
  readonly diskBytes: number;
  readonly latencyMs: number;
  readonly kind: 'current' | 'full' | 'compact';
  readonly chosen: boolean;
  readonly onFrontier: boolean;
}

/** The recall that a plan must reach, as `parseTarget` reads it. */
export interface PlanTarget {
  readonly metric: 'recall@10';
  readonly atLeast: number;
}

/** The configuration that was chosen for a target. */
export interface PlanChoice {
  readonly row: SizingRow;
  /** Share of bootstrap resamples of the queries in which the target is reached. */
  readonly certainty: number;
  /** The cheapest configuration that reaches the target with 95 % certainty, unless the chosen one does. */
  readonly surer: { readonly row: SizingRow; readonly certainty: number } | null;
  /** A smaller compact configuration that gains too little to be worth an encoder; null if there is none. */
  readonly passedOver: SizingRow | null;
}

/**
 * Reads `recall@10>=0.97` or `recall@10 >= 97%`.
 * @throws INVALID_ARGUMENT when the text has another form, or a share that is not from 0 to 1
 * @example
 * ```ts
 * import { parseTarget } from 'qdrant-tldr';
 *
 * const { atLeast } = parseTarget('recall@10 >= 97%'); // 0.97
 * ```
 */
export function parseTarget(text: string): PlanTarget {
  const match = /^\s*recall@10\s*>=\s*(\d+(?:\.\d+)?|\.\d+)\s*(%?)\s*$/i.exec(text);
  const atLeast = Number(match?.[1]) / (match?.[2] === '%' ? 100 : 1);
  if (!(atLeast > 0 && atLeast <= 1)) {
    throw new TldrError(
      'INVALID_ARGUMENT',
      `target "${text}": expected something like "recall@10>=0.97", with a share from 0 to 1`,
    );
  }
  return { metric: 'recall@10', atLeast };
}

/**
 * The deployable rows on the Pareto frontier: no other has as much recall for less RAM, or more for as much.
 */
export function frontierOf(rows: readonly SizingRow[]): ReadonlySet<SizingRow> {
  const beats = (a: SizingRow, b: SizingRow): boolean =>
    a.recallAt10 >= b.recallAt10 &&
    a.ramBytes <= b.ramBytes &&
    (a.recallAt10 > b.recallAt10 || a.ramBytes < b.ramBytes || byCost(a, b) < 0);
  const made = rows.filter(({ deployable }) => deployable);
  return new Set(made.filter((row) => !made.some((other) => other !== row && beats(other, row))));
}

/** Sorts by bytes of RAM, then bytes on disk, then latency. */
function byCost(a: SizingRow, b: SizingRow): number {
  return a.ramBytes - b.ramBytes || a.diskBytes - b.diskBytes || a.latencyMsP50 - b.latencyMsP50;
}

/**
 * Chooses the cheapest deployable configuration that reaches the target; null if there is none. A compact one is passed
 * over if it is not worth an encoder (`recommended`).
 * @example
 * ```ts
 * import { choosePlan, parseTarget, type PlanResult } from 'qdrant-tldr';
 *
 * function cheapest({ rows }: PlanResult): string {
 *   const choice = choosePlan(rows, parseTarget('recall@10>=0.97'), 1);
 *   return choice?.row.label ?? 'no configuration reaches the target';
 * }
 * ```
 */
export function choosePlan(rows: readonly SizingRow[], target: PlanTarget, seed: number): PlanChoice | null {
  const reaching = rows
    .filter(({ deployable, recallAt10 }) => deployable && recallAt10 >= target.atLeast - 1e-9)
    .sort(byCost)
    .map((row) => ({ row, certainty: certaintyOf(row.evidence, target.atLeast, seed) }));
  const choice = recommended(
    reaching.map(({ row }) => row),
    rows,
    { enough: target.atLeast },
  );
  const cheapest = reaching.find(({ row }) => row === choice?.row);
  if (choice === null || cheapest === undefined) return null;
  const sure = reaching.find(({ certainty }) => certainty >= 0.95);
  const surer = cheapest.certainty >= 0.95 ? null : (sure ?? null);
  return { ...cheapest, surer, passedOver: choice.passedOver };
}

/**
 * The rows of the report's Pareto chart.
 * @example
 * ```ts
 * import { choosePlan, parseTarget, planReportRows, type PlanReportRow, type PlanResult } from 'qdrant-tldr';
 *
 * function reportOf({ rows }: PlanResult): PlanReportRow[] {
 *   const choice = choosePlan(rows, parseTarget('recall@10>=0.97'), 1);
 *   return planReportRows(rows, choice?.row ?? null);
 * }
 * ```
 */
export function planReportRows(rows: readonly SizingRow[], chosen: SizingRow | null): PlanReportRow[] {
  const frontier = frontierOf(rows);
  return rows.map((row) => ({
    label: row.label,
    dim: row.dim,
    datatype: row.datatype,
    oversampling: row.oversampling,
    recallAt10: row.recallAt10,
    interval: [...row.interval],
    ramBytes: row.ramBytes,
    diskBytes: row.diskBytes,
    latencyMs: row.latencyMsP50,
    kind: row.kind,
    chosen: row === chosen,
    onFrontier: frontier.has(row),
  }));
}

/** Bytes of a point in a configuration, at the size of the measured collection. */
export interface PointBytes {
  readonly vectorBytes: number;
  readonly vectorInMemory: boolean;
  readonly codeBytes: number;
  /** Bytes for the whole collection, not for a point. */
  readonly codeBookBytes: number;
  readonly codesInMemory: boolean;
  /** Links and offsets of the HNSW graph; they grow with the logarithm of the number of points. */
  readonly indexBytes: number;
  readonly indexGrowthBytes: number;
  readonly indexInMemory: boolean;
}

/**
 * RAM and disk of vectors, codes and index, without ids and payload, which are the same in all
 * configurations.
 */
export function bytesAt(
  parts: readonly PointBytes[],
  { measuredAt, points }: { readonly measuredAt: number; readonly points: number },
): PlanBytes {
  const at = (count: number): { ram: number; disk: number } => {
    const doublings = Math.log2(Math.max(1, count) / measuredAt);
    let [ram, disk] = [0, 0];
    for (const part of parts) {
      const index = Math.max(0, part.indexBytes + part.indexGrowthBytes * doublings);
      const codes = count * part.codeBytes + part.codeBookBytes;
      disk += count * (part.vectorBytes + index) + codes;
      if (part.vectorInMemory) ram += count * part.vectorBytes;
      if (part.codesInMemory) ram += codes;
      if (part.indexInMemory) ram += count * index;
    }
    return { ram, disk };
  };
  const [million, all] = [at(1e6), at(points)];
  return {
    ramBytesPerMillion: million.ram,
    diskBytesPerMillion: million.disk,
    ramBytes: all.ram,
    diskBytes: all.disk,
  };
}
