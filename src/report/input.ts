import type { Matrix } from '../core/matrix.js';
import type { PerQuery } from '../core/per-query.js';

/** One encoder that was judged on the held-out queries. */
export interface ReportCandidate {
  readonly name: string;
  readonly shipped: boolean;
  readonly recallAt10: number;
  /** 95 % interval of recallAt10. */
  readonly interval: readonly [number, number];
  readonly r10At30: number;
  readonly r10At100: number;
  readonly compactDistance: string;
  readonly seconds: number;
  /** Multiplications and additions to project one vector. */
  readonly multiplyAdds: number;
  readonly note?: string;
}

/** One way to store and search the collection: how good, how big, how fast. */
export interface ReportParetoRow {
  readonly label: string;
  readonly dim: number;
  readonly datatype: string;
  readonly oversampling: number;
  readonly recallAt10: number;
  /** 95 % interval of recallAt10. */
  readonly interval: readonly [number, number];
  readonly ramBytes: number;
  readonly diskBytes: number;
  /** Null where it was not measured. */
  readonly latencyMs: number | null;
  readonly kind: 'current' | 'full' | 'compact';
  readonly chosen: boolean;
  /** No other row is both smaller and better. */
  readonly onFrontier: boolean;
}

/** Recall of one method at several sizes of the compact space. */
export interface RecallPerDim {
  readonly name: string;
  readonly points: readonly {
    readonly dim: number;
    readonly recallAt10: number;
    readonly interval: readonly [number, number];
  }[];
}

export interface ReportTable {
  readonly title: string;
  readonly columns: readonly string[];
  readonly rows: readonly (readonly string[])[];
  readonly note?: string;
}

/** A number below the verdict, with what it is and what it compares with. */
export interface KeyFigure {
  readonly term: string;
  readonly value: string;
  readonly note?: string;
}

/** What the report is about, in one sentence and a few more. */
export interface ReportVerdict {
  readonly tone: 'good' | 'caution' | 'bad';
  /** A few words for the tone, where the usual ones do not fit. */
  readonly label?: string;
  readonly headline: string;
  readonly details: readonly string[];
}

/** Everything a report can show; a part that is absent is left out of the page. */
export interface ReportInput {
  readonly title: string;
  readonly createdBy: string;
  readonly verdict: ReportVerdict;
  /** Name and value of what is known about the data. */
  readonly facts: readonly (readonly [string, string])[];
  /** The numbers below the verdict, where they are not those of the chosen setting or the shipped candidate. */
  readonly figures?: readonly KeyFigure[];
  readonly candidates?: readonly ReportCandidate[];
  readonly pareto?: readonly ReportParetoRow[];
  readonly recallPerDim?: readonly RecallPerDim[];
  /** Recall of each query, for one to three methods. */
  readonly perQuery?: readonly PerQuery[];
  /** Number of results that recall of single queries is taken at (default: 10). */
  readonly perQueryK?: number;
  /** Loss of each step; values that are not finite are skipped. */
  readonly lossCurve?: { readonly name: string; readonly values: readonly number[] };
  /** points: n x 2; labels: n, where the points have any. */
  readonly map?: { readonly points: Matrix; readonly labels?: readonly string[] };
  /** Commands that make every number of the report again. */
  readonly reproduce: readonly string[];
  readonly tables?: readonly ReportTable[];
}
