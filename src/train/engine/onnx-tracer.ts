import { encodeOnnxModel } from '../../encoder/onnx-model.js';
import type { OnnxNode, OnnxTensor, OnnxValue } from '../../encoder/onnx-model.js';
import { expectDefined, TldrError } from '../../core/errors.js';
import { EPSILON, MASK, NORM_EPSILON, type MatmulOptions, type Ops, type Shape } from './ops.js';

/** TensorProto.DataType of float32. */
const FLOAT = 1;

/** A value of the graph being traced: its name in the graph and its static shape. */
export interface Traced {
  readonly name: string;
  readonly shape: Shape;
}

/** How one recorded operation passes the derivative of its output on to its inputs. */
interface TapeEntry {
  readonly output: Traced;
  readonly inputs: readonly Traced[];
  readonly backward: (dy: Traced) => readonly (() => Traced)[];
}

interface Attributes {
  readonly ints?: Readonly<Record<string, number>>;
  readonly intLists?: Readonly<Record<string, readonly number[]>>;
  readonly floats?: Readonly<Record<string, number>>;
}

/**
 * Traces tensor operations into one static ONNX graph and, on request, emits the reverse-mode derivatives as
 * ordinary nodes of the same graph (Griewank and Walther, Evaluating Derivatives, 2008, chapter 3).
 */
export class OnnxTracer implements Ops<Traced> {
  readonly #nodes: OnnxNode[] = [];
  readonly #tensors = new Map<string, OnnxTensor>();
  readonly #inputs: OnnxValue[] = [];
  readonly #tape: TapeEntry[] = [];
  /** Names of the trainable values and of all values that depend on them. */
  readonly #active = new Set<string>();
  /** Diagonal masks, by shape. */
  readonly #masks = new Map<string, Traced>();
  #count = 0;

  /** Adds a graph input. With `trainable`, `gradients` can return derivatives with respect to it. */
  input(name: string, shape: Shape, trainable = false): Traced {
    this.#inputs.push({ name, dims: shape });
    if (trainable) this.#active.add(name);
    return { name, shape };
  }

  /** The graph as an ONNX model; each output gets its name by an Identity node. */
  build(outputs: Readonly<Record<string, Traced>>): Uint8Array {
    const values: OnnxValue[] = [];
    for (const [name, traced] of Object.entries(outputs)) {
      this.#nodes.push({ opType: 'Identity', inputs: [traced.name], outputs: [name] });
      values.push({ name, dims: traced.shape });
    }
    return encodeOnnxModel({
      nodes: this.#nodes,
      tensors: [...this.#tensors.values()],
      inputs: this.#inputs,
      outputs: values,
      metadata: new Map(),
    });
  }

  /** Adds nodes for the derivatives of a traced scalar loss, and returns them in the order of `wanted`. */
  gradients(loss: Traced, wanted: readonly Traced[]): Traced[] {
    const derivatives = new Map<string, Traced>([[loss.name, this.constant(1)]]);
    for (const { output, inputs, backward } of this.#tape.toReversed()) {
      const dy = derivatives.get(output.name);
      if (dy === undefined) continue;
      backward(dy).forEach((emit, i) => {
        const x = inputs[i];
        if (x === undefined || !this.#active.has(x.name)) return;
        const before = derivatives.get(x.name);
        const dx = emit();
        derivatives.set(x.name, before === undefined ? dx : this.#emit('Add', [before, dx], x.shape));
      });
    }
    return wanted.map((parameter) => {
      const gradient = derivatives.get(parameter.name);
      if (gradient === undefined) {
        throw new TldrError('INTERNAL', `the loss does not depend on parameter ${parameter.name}`);
      }
      return gradient;
    });
  }

  constant(value: number): Traced {
    const name = `c_${value}`;
    this.#tensors.set(name, { name, dims: [], data: Float32Array.of(value) });
    return { name, shape: [] };
  }

  shape(a: Traced): Shape {
    return a.shape;
  }

  matmul(a: Traced, b: Traced, options: MatmulOptions = {}): Traced {
    const { transposeA = false, transposeB = false, scale = 1 } = options;
    const y = this.#gemm(a, b, options);
    const gemm = (left: Traced, right: Traced, ta: boolean, tb: boolean) => (): Traced =>
      this.#gemm(left, right, { transposeA: ta, transposeB: tb, scale });
    return this.#record(y, [a, b], (dy) => [
      transposeA ? gemm(b, dy, transposeB, true) : gemm(dy, b, false, !transposeB),
      transposeB ? gemm(dy, a, true, transposeA) : gemm(a, dy, !transposeA, false),
    ]);
  }

  add(a: Traced, b: Traced): Traced {
    const y = this.#emit('Add', [a, b], a.shape);
    return this.#record(y, [a, b], (dy) => [() => dy, () => this.#reduceTo(dy, b.shape)]);
  }

  sub(a: Traced, b: Traced): Traced {
    const y = this.#emit('Sub', [a, b], a.shape);
    return this.#record(y, [a, b], (dy) => [
      () => dy,
      () => this.#emit('Neg', [this.#reduceTo(dy, b.shape)], b.shape),
    ]);
  }

  mul(a: Traced, b: Traced): Traced {
    const y = this.#emit('Mul', [a, b], a.shape);
    return this.#record(y, [a, b], (dy) => [
      () => this.#emit('Mul', [dy, b], a.shape),
      () => this.#reduceTo(this.#emit('Mul', [dy, a], a.shape), b.shape),
    ]);
  }

  div(a: Traced, b: Traced): Traced {
    const y = this.#emit('Div', [a, b], a.shape);
    return this.#record(y, [a, b], (dy) => {
      const dyOverB = this.#emit('Div', [dy, b], a.shape);
      return [
        () => dyOverB,
        () => this.#emit('Neg', [this.#reduceTo(this.#emit('Mul', [dyOverB, y], a.shape), b.shape)], b.shape),
      ];
    });
  }

  scale(a: Traced, factor: number): Traced {
    return this.mul(a, this.constant(factor));
  }

  relu(a: Traced): Traced {
    const y = this.#emit('Relu', [a], a.shape);
    return this.#record(y, [a], (dy) => [
      () => {
        const positive = this.#emit('Greater', [y, this.constant(0)], a.shape);
        return this.#emit(
          'Mul',
          [dy, this.#emit('Cast', [positive], a.shape, { ints: { to: FLOAT } })],
          a.shape,
        );
      },
    ]);
  }

  sqrt(a: Traced): Traced {
    const y = this.#emit('Sqrt', [a], a.shape);
    return this.#record(y, [a], (dy) => [
      () => this.#emit('Div', [this.#emit('Mul', [dy, this.constant(0.5)], a.shape), y], a.shape),
    ]);
  }

  /** Not recorded: its derivative is zero. */
  sign(a: Traced): Traced {
    return this.#emit('Sign', [a], a.shape);
  }

  /** Fused derivative: dx = (dy - mean(dy) - y mean(dy y)) / std (Ioffe and Szegedy 2015, section 3). */
  batchNorm(a: Traced, groups: number): Traced {
    const [rows, cols] = [dimensionOf(a, 0), dimensionOf(a, 1)];
    const blocks = [groups, rows / groups, cols];
    const stats = [groups, 1, cols];
    const mean = (x: Traced): Traced =>
      this.#emit('ReduceMean', [x], stats, { intLists: { axes: [1] }, ints: { keepdims: 1 } });
    const x = this.#reshape(a, blocks);
    const centred = this.#emit('Sub', [x, mean(x)], blocks);
    const variance = mean(this.#emit('Mul', [centred, centred], blocks));
    const std = this.#emit('Sqrt', [this.#emit('Add', [variance, this.constant(EPSILON)], stats)], stats);
    const y3 = this.#emit('Div', [centred, std], blocks);
    return this.#record(this.#reshape(y3, a.shape), [a], (dy) => [
      () => {
        const dy3 = this.#reshape(dy, blocks);
        const along = this.#emit('Mul', [y3, mean(this.#emit('Mul', [dy3, y3], blocks))], blocks);
        const free = this.#emit('Sub', [this.#emit('Sub', [dy3, mean(dy3)], blocks), along], blocks);
        return this.#reshape(this.#emit('Div', [free, std], blocks), a.shape);
      },
    ]);
  }

  normalizeRows(a: Traced): Traced {
    const column = [dimensionOf(a, 0), 1];
    const rowSum = (x: Traced): Traced => this.#reduceSum(x, [1], column);
    const squared = rowSum(this.#emit('Mul', [a, a], a.shape));
    const norm = this.#emit(
      'Sqrt',
      [this.#emit('Add', [squared, this.constant(NORM_EPSILON)], column)],
      column,
    );
    const y = this.#emit('Div', [a, norm], a.shape);
    return this.#record(y, [a], (dy) => [
      () => {
        const along = this.#emit('Mul', [y, rowSum(this.#emit('Mul', [dy, y], a.shape))], a.shape);
        return this.#emit('Div', [this.#emit('Sub', [dy, along], a.shape), norm], a.shape);
      },
    ]);
  }

  maskDiagonal(a: Traced): Traced {
    return this.#record(this.#emit('Add', [a, this.#diagonalMask(a)], a.shape), [a], (dy) => [() => dy]);
  }

  /** The derivative with respect to the student's logits is (softmax(student) - softmax(teacher)) / rows. */
  meanKl(teacher: Traced, student: Traced): Traced {
    const { shape } = student;
    const perRow = this.constant(1 / dimensionOf(student, 0));
    const logOf = (a: Traced): Traced => this.#emit('LogSoftmax', [a], shape, { ints: { axis: 1 } });
    const logP = logOf(teacher);
    const logQ = logOf(student);
    const p = this.#emit('Exp', [logP], shape);
    const gaps = this.#emit('Mul', [p, this.#emit('Sub', [logP, logQ], shape)], shape);
    const y = this.#emit('Mul', [this.#reduceSum(gaps, [0, 1], []), perRow], []);
    return this.#record(y, [teacher, student], (dy) => [
      () => {
        throw new TldrError('INTERNAL', 'no derivative towards the teacher');
      },
      () => {
        const off = this.#emit('Sub', [this.#emit('Exp', [logQ], shape), p], shape);
        return this.#emit('Mul', [off, this.#emit('Mul', [dy, perRow], [])], shape);
      },
    ]);
  }

  sumSquares(a: Traced): Traced {
    const y = this.#emit('ReduceSumSquare', [a], [], { ints: { keepdims: 0 } });
    return this.#record(y, [a], (dy) => [
      () => this.#emit('Mul', [a, this.#emit('Mul', [dy, this.constant(2)], [])], a.shape),
    ]);
  }

  sumColumns(a: Traced): Traced {
    const y = this.#reduceSum(a, [0], [1, dimensionOf(a, 1)]);
    return this.#record(y, [a], (dy) => [() => this.#expand(dy, a.shape)]);
  }

  sumRowsAsRow(a: Traced): Traced {
    const rows = dimensionOf(a, 0);
    const y = this.#reshape(this.#reduceSum(a, [1], [rows, 1]), [1, rows]);
    return this.#record(y, [a], (dy) => [() => this.#expand(this.#reshape(dy, [rows, 1]), a.shape)]);
  }

  halves(a: Traced): readonly [Traced, Traced] {
    const [rows, cols] = [dimensionOf(a, 0), dimensionOf(a, 1)];
    const half = [rows / 2, cols];
    const upper = this.#fresh(half);
    const lower = this.#fresh(half);
    const sizes = this.#int64([rows / 2, rows / 2]);
    this.#nodes.push({
      opType: 'Split',
      inputs: [a.name, sizes],
      outputs: [upper.name, lower.name],
      ints: { axis: 0 },
    });
    const zeros = (): Traced => this.#expand(this.constant(0), half);
    const join = (top: Traced, bottom: Traced): Traced =>
      this.#emit('Concat', [top, bottom], a.shape, { ints: { axis: 0 } });
    this.#record(upper, [a], (dy) => [() => join(dy, zeros())]);
    this.#record(lower, [a], (dy) => [() => join(zeros(), dy)]);
    return [upper, lower];
  }

  /** A tensor with MASK on the diagonal; all tensors of the same shape share it. */
  #diagonalMask(a: Traced): Traced {
    const key = a.shape.join('x');
    const known = this.#masks.get(key);
    if (known !== undefined) return known;
    const eye = this.#emit('EyeLike', [a], a.shape);
    const mask = this.#emit('Mul', [eye, this.constant(MASK)], a.shape);
    this.#masks.set(key, mask);
    return mask;
  }

  #gemm(a: Traced, b: Traced, { transposeA = false, transposeB = false, scale = 1 }: MatmulOptions): Traced {
    const rows = dimensionOf(a, transposeA ? 1 : 0);
    const cols = dimensionOf(b, transposeB ? 0 : 1);
    return this.#emit('Gemm', [a, b], [rows, cols], {
      ints: { transA: Number(transposeA), transB: Number(transposeB) },
      floats: { alpha: scale },
    });
  }

  #record(output: Traced, inputs: readonly Traced[], backward: TapeEntry['backward']): Traced {
    if (inputs.some(({ name }) => this.#active.has(name))) {
      this.#active.add(output.name);
      this.#tape.push({ output, inputs, backward });
    }
    return output;
  }

  /**
   * Returns a derivative in the shape of its operand. If the operand was broadcast (repeated along an axis), the
   * derivative is summed over that axis.
   */
  #reduceTo(a: Traced, shape: Shape): Traced {
    if (shape.length === 0) return a.shape.length === 0 ? a : this.#reduceSum(a, [0, 1], []);
    const axes = shape.flatMap((size, axis) => (size === 1 && a.shape[axis] !== 1 ? [axis] : []));
    return axes.length === 0 ? a : this.#reduceSum(a, axes, shape);
  }

  #reduceSum(a: Traced, axes: readonly number[], shape: Shape): Traced {
    if (a.shape.length === 0) return a;
    const out = this.#fresh(shape);
    this.#nodes.push({
      opType: 'ReduceSum',
      inputs: [a.name, this.#int64(axes)],
      outputs: [out.name],
      ints: { keepdims: shape.length === 0 ? 0 : 1 },
    });
    return out;
  }

  #reshape(a: Traced, shape: Shape): Traced {
    return this.#withShape('Reshape', a, shape);
  }

  #expand(a: Traced, shape: Shape): Traced {
    return this.#withShape('Expand', a, shape);
  }

  #withShape(opType: string, a: Traced, shape: Shape): Traced {
    const out = this.#fresh(shape);
    this.#nodes.push({ opType, inputs: [a.name, this.#int64(shape)], outputs: [out.name] });
    return out;
  }

  #int64(values: readonly number[]): string {
    const name = `i_${values.join('_')}`;
    this.#tensors.set(name, { name, dims: [values.length], data: BigInt64Array.from(values, BigInt) });
    return name;
  }

  #emit(opType: string, inputs: readonly Traced[], shape: Shape, attributes: Attributes = {}): Traced {
    const out = this.#fresh(shape);
    this.#nodes.push({ opType, inputs: inputs.map(({ name }) => name), outputs: [out.name], ...attributes });
    return out;
  }

  #fresh(shape: Shape): Traced {
    return { name: `t${this.#count++}`, shape };
  }
}

function dimensionOf({ name, shape }: Traced, axis: number): number {
  return expectDefined(shape[axis], `dimension ${axis} of ${name}`);
}
