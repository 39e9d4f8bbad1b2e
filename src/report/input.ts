import type { Matrix } from '../core/matrix.js';
import type { PerQuery } from '../core/recall-per-query.js';
import type { ResultTable } from './result-table.js';

/** A configuration for storing and searching the collection, with its recall, size and speed. */
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
  /** Null if it was not measured. */
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

/** What candidates reach by recall@10 and by one set of labels or judgements. */
export interface RelevanceFront {
  /** What the labels or judgements are called. */
  readonly name: string;
  readonly measure: string;
  /** What the full vectors reach by the measure. */
  readonly fullVectors: number;
  readonly points: readonly {
    readonly name: string;
    readonly recallAt10: number;
    readonly value: number;
    /** No other candidate is better both by recall@10 and by the measure. */
    readonly onFront: boolean;
    readonly chosen: boolean;
  }[];
}

/** A number below the verdict: its name, its value and a note, such as what it compares with. */
export interface KeyFigure {
  readonly term: string;
  readonly value: string;
  readonly note?: string;
}

/** Bytes before and after, which the page draws as bars beside the verdict. */
export interface MemoryBars {
  /** What the bytes are, for example RAM. */
  readonly title: string;
  /** Pairs of bars, each for one number of points. */
  readonly pairs: readonly { readonly name: string; readonly before: number; readonly after: number }[];
  /** How the bytes were found out. */
  readonly note: string;
}

/** What the reader can do now: a sentence, and the commands for it, in order. A command may be code of several lines. */
export interface PageStep {
  readonly text: string;
  readonly commands: readonly string[];
}

/** The sample in two dimensions, in one view or in several. Each matrix is n x 2, with the same rows. */
export interface SampleMap {
  readonly views: readonly { readonly name: string; readonly points: Matrix }[];
  /** A label for each row, if the points have labels. */
  readonly labels?: readonly string[];
  /** What the labels are, for example the payload field that they come from. */
  readonly labelledBy?: string;
}

/** A result of an example query. */
export interface ExampleResult {
  readonly text: string;
  /** Whether the other side found it, too. */
  readonly onBothSides: boolean;
}

/** A query with its results on both sides, the best first. */
export interface ExampleQuery {
  readonly text: string;
  readonly full: readonly ExampleResult[];
  readonly compact: readonly ExampleResult[];
}

/** Example queries, and how they were chosen. */
export interface ExampleQueries {
  readonly queries: readonly ExampleQuery[];
  readonly note: string;
}

/** The result in one sentence (`headline`), what it rests on (`lead`), and a few details. */
export interface ReportVerdict {
  readonly tone: 'good' | 'caution' | 'bad';
  /** Replaces the usual words for the tone. */
  readonly label?: string;
  readonly headline: string;
  readonly lead?: string;
  readonly details: readonly string[];
}

/** Everything that a report can show. The page has no section for an absent part. */
export interface ReportInput {
  readonly title: string;
  readonly createdBy: string;
  readonly verdict: ReportVerdict;
  /** Facts about the data: name and value. */
  readonly facts: readonly (readonly [string, string])[];
  /** The numbers below the verdict. */
  readonly figures?: readonly KeyFigure[];
  readonly memory?: MemoryBars;
  readonly next?: readonly PageStep[];
  /** Ways to reach one aim, of which the reader takes one, each with its commands or code. */
  readonly ways?: { readonly title: string; readonly ways: readonly PageStep[] };
  /** The chart of recall and memory. */
  readonly pareto?: readonly ReportParetoRow[];
  /** How the chart's numbers relate to those of the verdict, if they were measured otherwise. */
  readonly paretoNote?: string;
  readonly recallPerDim?: readonly RecallPerDim[];
  /** The charts of recall@10 and relevance, one for each set of labels or judgements. */
  readonly relevanceFronts?: readonly RelevanceFront[];
  /** Recall of each query, for one to three methods. */
  readonly perQuery?: readonly PerQuery[];
  /** Number of results k for the recall@k of single queries (default: 10). */
  readonly perQueryK?: number;
  /** Loss of each step; values that are not finite are skipped. */
  readonly lossCurve?: { readonly name: string; readonly values: readonly number[] };
  readonly map?: SampleMap;
  readonly examples?: ExampleQueries;
  /** Commands that reproduce every number of the report. */
  readonly reproduce: readonly string[];
  readonly tables?: readonly ResultTable[];
}
