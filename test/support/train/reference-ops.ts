import {
  EPSILON,
  MASK,
  NORM_EPSILON,
  type MatmulOptions,
  type Ops,
  type Shape,
} from '../../../src/train/engine/ops.js';

/** A tensor in plain float64. */
export interface Reference {
  readonly shape: Shape;
  readonly data: Float64Array;
}

const at = (a: Reference, i: number, j: number): number => {
  if (a.shape.length === 0) return a.data[0]!;
  const [rows = 1, cols = 1] = a.shape;
  return a.data[(rows === 1 ? 0 : i) * cols + (cols === 1 ? 0 : j)]!;
};

function build(rows: number, cols: number, value: (i: number, j: number) => number): Reference {
  return {
    shape: [rows, cols],
    data: Float64Array.from({ length: rows * cols }, (_, k) => value(Math.floor(k / cols), k % cols)),
  };
}

/** The operations written down straight from their definitions: what both engines are held against. */
export class ReferenceOps implements Ops<Reference> {
  constant(value: number): Reference {
    return { shape: [], data: Float64Array.of(value) };
  }

  shape(a: Reference): Shape {
    return a.shape;
  }

  matmul(
    a: Reference,
    b: Reference,
    { transposeA = false, transposeB = false, scale = 1 }: MatmulOptions = {},
  ): Reference {
    const [rows, inner] = transposeA ? [a.shape[1]!, a.shape[0]!] : [a.shape[0]!, a.shape[1]!];
    const cols = transposeB ? b.shape[0]! : b.shape[1]!;
    return build(rows, cols, (i, j) => {
      let sum = 0;
      for (let k = 0; k < inner; k++)
        sum += (transposeA ? at(a, k, i) : at(a, i, k)) * (transposeB ? at(b, j, k) : at(b, k, j));
      return sum * scale;
    });
  }

  add = (a: Reference, b: Reference): Reference => this.#binary(a, b, (x, y) => x + y);
  sub = (a: Reference, b: Reference): Reference => this.#binary(a, b, (x, y) => x - y);
  mul = (a: Reference, b: Reference): Reference => this.#binary(a, b, (x, y) => x * y);
  div = (a: Reference, b: Reference): Reference => this.#binary(a, b, (x, y) => x / y);
  scale = (a: Reference, factor: number): Reference => this.#map(a, (x) => x * factor);
  relu = (a: Reference): Reference => this.#map(a, (x) => Math.max(0, x));
  sqrt = (a: Reference): Reference => this.#map(a, Math.sqrt);
  sign = (a: Reference): Reference => this.#map(a, Math.sign);

  batchNorm(a: Reference, groups: number): Reference {
    const [rows = 0, cols = 0] = a.shape;
    const size = rows / groups;
    return build(rows, cols, (i, j) => {
      const first = Math.floor(i / size) * size;
      const column = Array.from({ length: size }, (_, k) => at(a, first + k, j));
      const mean = column.reduce((sum, x) => sum + x, 0) / size;
      const variance = column.reduce((sum, x) => sum + (x - mean) ** 2, 0) / size;
      return (at(a, i, j) - mean) / Math.sqrt(variance + EPSILON);
    });
  }

  normalizeRows(a: Reference): Reference {
    const [rows = 0, cols = 0] = a.shape;
    return build(rows, cols, (i, j) => {
      let squares = NORM_EPSILON;
      for (let k = 0; k < cols; k++) squares += at(a, i, k) ** 2;
      return at(a, i, j) / Math.sqrt(squares);
    });
  }

  maskDiagonal(a: Reference): Reference {
    return build(a.shape[0]!, a.shape[1]!, (i, j) => at(a, i, j) + (i === j ? MASK : 0));
  }

  meanKl(teacher: Reference, student: Reference): Reference {
    const [logP, logQ] = [this.#logSoftmax(teacher), this.#logSoftmax(student)];
    const sum = logP.data.reduce((total, p, k) => total + Math.exp(p) * (p - logQ.data[k]!), 0);
    return this.constant(sum / teacher.shape[0]!);
  }

  #logSoftmax(a: Reference): Reference {
    const [rows = 0, cols = 0] = a.shape;
    return build(rows, cols, (i, j) => {
      const values = Array.from({ length: cols }, (_, k) => at(a, i, k));
      const top = Math.max(...values);
      return at(a, i, j) - top - Math.log(values.reduce((sum, x) => sum + Math.exp(x - top), 0));
    });
  }

  sumSquares = (a: Reference): Reference => this.constant(a.data.reduce((sum, x) => sum + x * x, 0));

  sumColumns(a: Reference): Reference {
    return build(1, a.shape[1]!, (_, j) =>
      Array.from({ length: a.shape[0]! }, (_k, i) => at(a, i, j)).reduce((s, x) => s + x, 0),
    );
  }

  sumRowsAsRow(a: Reference): Reference {
    return build(1, a.shape[0]!, (_, i) =>
      Array.from({ length: a.shape[1]! }, (_k, j) => at(a, i, j)).reduce((s, x) => s + x, 0),
    );
  }

  halves(a: Reference): readonly [Reference, Reference] {
    const [rows = 0, cols = 0] = a.shape;
    return [
      build(rows / 2, cols, (i, j) => at(a, i, j)),
      build(rows / 2, cols, (i, j) => at(a, i + rows / 2, j)),
    ];
  }

  #binary(a: Reference, b: Reference, f: (x: number, y: number) => number): Reference {
    const [rows = 1, cols = 1] = a.shape;
    const data = Float64Array.from(a.data, (x, k) => f(x, at(b, Math.floor(k / cols), k % cols)));
    return { shape: a.shape.length === 0 ? [] : [rows, cols], data };
  }

  #map(a: Reference, f: (x: number) => number): Reference {
    return { shape: a.shape, data: a.data.map((x) => f(x)) };
  }
}
