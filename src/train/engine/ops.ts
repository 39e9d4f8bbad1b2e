import type { EngineChoice, EngineReport } from './engine-report.js';

/** A tensor's size per axis; scalars are []. */
export type Shape = readonly number[];

export interface MatmulOptions {
  readonly transposeA?: boolean;
  readonly transposeB?: boolean;
  /** The product is multiplied by it. */
  readonly scale?: number;
}

/**
 * The tensor operations in which the model, losses and optimisers are written; T is an engine's tensor type.
 * Tensors are 2-d unless a comment says otherwise. In binary operations, b has a's shape or is broadcast: a
 * row [1, n], a column [m, 1] or a scalar.
 */
export interface Ops<T> {
  /** A scalar. */
  constant(value: number): T;
  shape(a: T): Shape;
  matmul(a: T, b: T, options?: MatmulOptions): T;
  add(a: T, b: T): T;
  sub(a: T, b: T): T;
  mul(a: T, b: T): T;
  div(a: T, b: T): T;
  scale(a: T, factor: number): T;
  relu(a: T): T;
  sqrt(a: T): T;
  /** -1, 0 or 1 per value; its derivative is zero. */
  sign(a: T): T;
  /** (x - mean) / sqrt(var + eps) per column, within each of `groups` equal blocks of rows; no affine part. */
  batchNorm(a: T, groups: number): T;
  /** Rows scaled to unit length. */
  normalizeRows(a: T): T;
  /** -1e9 added on the diagonal of a square tensor. */
  maskDiagonal(a: T): T;
  /**
   * Mean over rows of KL(softmax(teacher) || softmax(student)): a scalar. It has no derivative with respect
   * to the teacher, which must not depend on parameters.
   */
  meanKl(teacher: T, student: T): T;
  /** Sum of squares of everything: a scalar. */
  sumSquares(a: T): T;
  /** Sum over rows: [1, n]. */
  sumColumns(a: T): T;
  /** Sum over columns, as a row: [1, m]. */
  sumRowsAsRow(a: T): T;
  /** Upper and lower half of the rows. */
  halves(a: T): readonly [T, T];
}

/** Added to variances and squared norms before the root. */
export const EPSILON = 1e-5;
export const NORM_EPSILON = 1e-12;
/** Added to a row's similarity to itself, so that a softmax gives it no weight. */
export const MASK = -1e9;

/** The role of a parameter: only `weight` and `hidden` have weight decay and layer-wise rates. */
export type ParameterKind = 'weight' | 'hidden' | 'gamma' | 'beta';

/** A trainable tensor. `kind` cannot be derived from the shape: a layer with one input has a 1 x n weight. */
export interface ParameterSpec {
  readonly name: string;
  readonly kind: ParameterKind;
  readonly shape: Shape;
}

/**
 * The mathematics of a training step: its parameters, and the loss of a batch with one or more views of its
 * rows.
 */
export interface StepDefinition {
  readonly parameters: readonly ParameterSpec[];
  readonly batchRows: number;
  /** Columns of each view. */
  readonly widths: readonly number[];
  loss<T>(ops: Ops<T>, parameters: readonly T[], views: readonly T[]): T;
}

/** An optimiser: the state (slots) that it keeps per parameter, and its update, a pure function in `Ops`. */
export interface Optimizer {
  readonly slotsPerParameter: number;
  /** The scalars that `update` needs in this step; steps count from 1. */
  scalars(learningRate: number, step: number): readonly number[];
  update<T>(
    ops: Ops<T>,
    input: {
      readonly parameter: T;
      readonly gradient: T;
      readonly slots: readonly T[];
      readonly kind: ParameterKind;
    },
    scalars: readonly T[],
  ): { readonly parameter: T; readonly slots: readonly T[] };
}

/** The values of all parameters and, for each, the optimiser's slots, which have the parameter's size. */
export interface StepValues {
  readonly parameters: readonly Float32Array[];
  readonly slots: readonly (readonly Float32Array[])[];
}

/** Runs the steps of one definition and holds its values between steps. */
export interface Executor {
  readonly engine: EngineReport;
  /**
   * Runs a step on a batch's views (batchRows x width, row-major).
   * @returns the loss before the update; null if `isStopped` ended the step, which then changed nothing
   */
  step(views: readonly Float32Array[], learningRate: number, stepNumber: number): Promise<number | null>;
  /** A copy of the current values. */
  values(): Promise<StepValues>;
  close(): Promise<void>;
}

/** Options of an executor that starts from `initial`. */
export interface ExecutorOptions {
  readonly definition: StepDefinition;
  readonly optimizer: Optimizer;
  readonly initial: StepValues;
  readonly threads: number;
  readonly choice: EngineChoice;
  /** Asked within a step, if the engine can end a step early. */
  readonly isStopped?: (() => boolean) | undefined;
}
