import { expectDefined, TldrError } from '../../../src/core/errors.js';
import type { EncoderNetwork } from '../../../src/encoder/model.js';

/** A linear map with a bias: one row of weights for each output. */
export interface LinearMap {
  readonly inputDim: number;
  readonly outputDim: number;
  /** outputDim x inputDim. */
  readonly weights: Float64Array;
  readonly bias: Float64Array;
  readonly normalizesInput: boolean;
  readonly normalizesOutput: boolean;
}

/** Returns a network of linear layers as one map. @throws UNSUPPORTED when a layer is not linear */
export function composeLayers({ layers, normalizeInput, normalizeOutput }: EncoderNetwork): LinearMap {
  if (layers.some(({ relu }) => relu))
    throw new TldrError(
      'UNSUPPORTED',
      'this encoder has a layer that is not linear, which SQL cannot compute: project with its ONNX file in your program, or train a linear one',
    );
  const first = expectDefined(layers[0], 'the first layer').weight;
  const inputDim = first.rows;
  let width = inputDim;
  let weights: Float64Array = new Float64Array(0);
  let bias: Float64Array = new Float64Array(0);
  let isFirst = true;
  for (const layer of layers) {
    const { rows, cols, data } = layer.weight;
    const next = new Float64Array(cols * inputDim);
    const shifted = Float64Array.from({ length: cols }, (_, j) => layer.bias?.[j] ?? 0);
    for (let j = 0; j < cols; j++) {
      for (let k = 0; k < rows; k++) {
        const value = expectDefined(data[k * cols + j], 'a weight');
        if (isFirst) next[j * inputDim + k] = value;
        else addRow(next, weights, { to: j, from: k, inputDim, value });
        if (!isFirst) shifted[j] = (shifted[j] ?? Number.NaN) + value * (bias[k] ?? Number.NaN);
      }
    }
    [weights, bias, width, isFirst] = [next, shifted, cols, false];
  }
  const normalizes = { normalizesInput: normalizeInput, normalizesOutput: normalizeOutput };
  return { inputDim, outputDim: width, weights, bias, ...normalizes };
}

/** Adds `value` times a row of one matrix to a row of another. */
function addRow(
  into: Float64Array,
  of: Float64Array,
  at: { readonly to: number; readonly from: number; readonly inputDim: number; readonly value: number },
): void {
  const target = into.subarray(at.to * at.inputDim, (at.to + 1) * at.inputDim);
  const source = of.subarray(at.from * at.inputDim, (at.from + 1) * at.inputDim);
  for (let i = 0; i < target.length; i++) target[i]! += at.value * source[i]!;
}
