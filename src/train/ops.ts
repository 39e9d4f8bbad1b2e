/** A tensor's size per axis; scalars are []. */
export type Shape = readonly number[];

export interface MatmulOptions {
  readonly transposeA?: boolean;
  readonly transposeB?: boolean;
  /** Factor on the product. */
  readonly scale?: number;
}

/**
 * The tensor operations that model, losses and optimisers are written in; T is an engine's tensor.
 * Tensors are 2-d unless said otherwise. Binary operations broadcast b against a: b has a's shape, or is a
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
   * Mean over rows of KL(softmax(teacher) || softmax(student)): a scalar. No derivative flows to the teacher, which
   * does not depend on parameters.
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
export const MASK = -1e9;

/** What a parameter is: only weights have weight decay and layer-wise rates. */
export type ParameterKind = 'weight' | 'hidden' | 'gamma' | 'beta';

/** A trainable tensor. Its kind is said, not guessed from its shape: a layer that takes one value has a 1 x n weight. */
export interface ParameterSpec {
  readonly name: string;
  readonly kind: ParameterKind;
  readonly shape: Shape;
}

/** One training step's mathematics: parameters and the loss of a batch, whose rows come in one view or several. */
export interface StepDefinition {
  readonly parameters: readonly ParameterSpec[];
  readonly batchRows: number;
  /** Columns of each view. */
  readonly widths: readonly number[];
  loss<T>(ops: Ops<T>, parameters: readonly T[], views: readonly T[]): T;
}

/** What an optimiser keeps per parameter and how it moves it; pure, written in `Ops`. */
export interface Optimizer {
  readonly slotsPerParameter: number;
  /** Scalars of this step, `step` counted from 1. */
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

/** Parameter values and, per parameter, the optimiser's slots: plain arrays of the parameters' sizes. */
export interface StepValues {
  readonly parameters: readonly Float32Array[];
  readonly slots: readonly (readonly Float32Array[])[];
}

/** Runs steps of one definition; owns its values between steps. */
export interface Executor {
  readonly engine: string;
  /** One step on a batch's views, each batchRows x its width, row-major. @returns the loss before the step */
  step(views: readonly Float32Array[], learningRate: number, stepNumber: number): Promise<number>;
  /** A copy of the current values. */
  values(): Promise<StepValues>;
  close(): Promise<void>;
}

/** Makes an executor that starts from `initial`. */
export interface ExecutorOptions {
  readonly definition: StepDefinition;
  readonly optimizer: Optimizer;
  readonly initial: StepValues;
  readonly threads: number;
}
