import type { EncoderLayer, EncoderNetwork } from '../core/encoder-network.js';
import { TldrError } from '../core/errors.js';
import { Kernel } from '../core/kernel.js';
import { matrix, type Matrix } from '../core/matrix.js';
import type { Rng } from '../core/rng.js';
import { EPSILON, type Ops, type ParameterSpec } from './ops.js';

/** `linear`, `flinear-L-H` or `mlp-L-H`: L hidden blocks of width H, then a linear layer. */
export interface Architecture {
  readonly kind: 'none' | 'linear' | 'flinear' | 'mlp';
  readonly hiddenLayers: number;
  readonly hiddenWidth: number;
}

const WIDTH_MAX = 65536;
const LAYERS_MAX = 16;

/** @throws INVALID_ARGUMENT for text that names no architecture, or one that is not among `kinds` */
export function parseArchitecture(text: string, kinds: readonly Architecture['kind'][]): Architecture {
  const match = /^(none|linear|flinear|mlp)(?:-(\d+)-(\d+))?$/.exec(text);
  const kind = kinds.find((name) => name === match?.[1]);
  const layered = kind === 'flinear' || kind === 'mlp';
  const hiddenLayers = Number(match?.[2] ?? 0);
  const hiddenWidth = Number(match?.[3] ?? 0);
  const inRange =
    hiddenLayers >= 1 && hiddenLayers <= LAYERS_MAX && hiddenWidth >= 1 && hiddenWidth <= WIDTH_MAX;
  if (kind === undefined || (layered ? !inRange : match?.[2] !== undefined)) {
    const forms = kinds.map((name) => (name === 'flinear' || name === 'mlp' ? `${name}-LAYERS-WIDTH` : name));
    throw new TldrError(
      'INVALID_ARGUMENT',
      `"${text}" is no architecture here: expected ${forms.join(', ')}`,
    );
  }
  return { kind, hiddenLayers, hiddenWidth };
}

/** Encoder and projector as one list of parameters, in the order `encode` and `projectHead` consume them. */
export interface Model {
  readonly encoder: Architecture;
  readonly projector: Architecture;
  readonly inputDim: number;
  readonly outputDim: number;
  readonly parameters: readonly ParameterSpec[];
  /** How many of `parameters` belong to the encoder. */
  readonly encoderParameters: number;
}

/** Lays out the parameters of an encoder inputDim to outputDim and a projector on top of it. */
export function createModel(
  dims: { readonly inputDim: number; readonly outputDim: number },
  encoder: Architecture,
  projector: Architecture,
): Model {
  const parameters: ParameterSpec[] = [];
  const hidden = (name: string, { hiddenLayers, hiddenWidth }: Architecture, inputWidth: number): number => {
    let width = inputWidth;
    for (let i = 0; i < hiddenLayers; i++) {
      parameters.push(
        { name: `${name}.${i}.weight`, kind: 'weight', shape: [width, hiddenWidth] },
        { name: `${name}.${i}.gamma`, kind: 'gamma', shape: [1, hiddenWidth] },
        { name: `${name}.${i}.beta`, kind: 'beta', shape: [1, hiddenWidth] },
      );
      width = hiddenWidth;
    }
    return width;
  };
  const last = hidden('encoder', encoder, dims.inputDim);
  parameters.push({ name: 'encoder.weight', kind: 'weight', shape: [last, dims.outputDim] });
  const encoderParameters = parameters.length;
  if (projector.kind !== 'none') {
    const width = hidden('projector', projector, dims.outputDim);
    parameters.push({ name: 'projector.weight', kind: 'weight', shape: [width, projector.hiddenWidth] });
  }
  return { encoder, projector, ...dims, parameters, encoderParameters };
}

/**
 * Weights uniform in +-1/sqrt(fan-in) (LeCun et al. 1998), gamma 1, beta 0; `initialWeight` (inputDim x
 * outputDim) replaces the weight of a linear encoder.
 */
export function initialParameters(model: Model, rng: Rng, initialWeight?: Matrix): Float32Array[] {
  return model.parameters.map((spec) => {
    const [rows = 0, cols = 0] = spec.shape;
    if (initialWeight !== undefined && spec.name === 'encoder.weight') return initialWeight.data.slice();
    const values = new Float32Array(rows * cols);
    if (spec.kind !== 'weight') return values.fill(spec.kind === 'gamma' ? 1 : 0);
    const bound = 1 / Math.sqrt(rows);
    return values.map(() => (2 * rng.uniform() - 1) * bound);
  });
}

/** x [n, inputDim] to the encoder's output [n, outputDim], batch norm over each of `groups` views. */
export function encode<T>(
  ops: Ops<T>,
  model: Model,
  parameters: readonly T[],
  input: { x: T; groups: number },
): T {
  return layers(ops, model.encoder, parameters.slice(0, model.encoderParameters), input);
}

/** The projector on top of z [n, outputDim]; z itself where there is none. */
export function projectHead<T>(
  ops: Ops<T>,
  model: Model,
  parameters: readonly T[],
  input: { x: T; groups: number },
): T {
  if (model.projector.kind === 'none') return input.x;
  return layers(ops, model.projector, parameters.slice(model.encoderParameters), input);
}

function layers<T>(
  ops: Ops<T>,
  { kind }: Architecture,
  parameters: readonly T[],
  { x, groups }: { x: T; groups: number },
): T {
  let current = x;
  let i = 0;
  for (; i + 2 < parameters.length; i += 3) {
    const [weight, gamma, beta] = parameters.slice(i, i + 3);
    if (weight === undefined || gamma === undefined || beta === undefined) break;
    const normal = ops.batchNorm(ops.matmul(current, weight), groups);
    current = ops.add(ops.mul(normal, gamma), beta);
    if (kind === 'mlp') current = ops.relu(current);
  }
  const last = parameters[i];
  return last === undefined ? current : ops.matmul(current, last);
}

/**
 * The trained encoder as plain layers: batch norm is replaced by its statistics over the whole sample, taken
 * exactly and layer by layer, and folded into the weights; `flinear` folds further into one matrix.
 * `sample` is n x inputDim, prepared as in training; where `shift` (length inputDim) was taken off its rows, the first
 * bias takes it off every vector. A linear encoder has no bias and needs none: the shift moves all its outputs alike.
 */
export function foldEncoder(
  model: Model,
  parameters: readonly Float32Array[],
  { sample, shift }: { readonly sample: Matrix; readonly shift: Float64Array | null },
): EncoderLayer[] {
  const folded: EncoderLayer[] = [];
  let current = sample;
  let inputWidth = model.inputDim;
  for (let i = 0; i < model.encoder.hiddenLayers; i++) {
    const [weight, gamma, beta] = parameters.slice(i * 3, i * 3 + 3);
    if (weight === undefined || gamma === undefined || beta === undefined) break;
    const plain = { weight: matrix(inputWidth, model.encoder.hiddenWidth, weight), bias: null, relu: false };
    const layer = foldBatchNorm(plain, apply(current, [plain]), { gamma, beta });
    folded.push({ ...layer, relu: model.encoder.kind === 'mlp' });
    current = apply(current, folded.slice(-1));
    inputWidth = model.encoder.hiddenWidth;
  }
  const last = parameters[model.encoderParameters - 1] ?? new Float32Array(0);
  folded.push({ weight: matrix(inputWidth, model.outputDim, last.slice()), bias: null, relu: false });
  const layers = model.encoder.kind === 'flinear' ? [foldLinear(folded)] : folded;
  return layers.map((layer, i) => (i === 0 && shift !== null ? foldShift(layer, shift) : layer));
}

/** (x - shift) W + b as x W + (b - shift W); without a bias as it is. */
function foldShift(layer: EncoderLayer, shift: Float64Array): EncoderLayer {
  const { weight, bias } = layer;
  if (bias === null) return layer;
  const moved = multiply(shift, 1, weight);
  return { ...layer, bias: bias.map((value, j) => value - moved[j]!) };
}

function apply(x: Matrix, network: EncoderLayer[]): Matrix {
  const asNetwork: EncoderNetwork = { normalizeInput: false, layers: network, normalizeOutput: false };
  return new Kernel(asNetwork).project(x);
}

/** gamma (xW - mean) / std + beta as one affine layer. */
function foldBatchNorm(
  { weight }: EncoderLayer,
  outputs: Matrix,
  { gamma, beta }: { gamma: Float32Array; beta: Float32Array },
): EncoderLayer {
  const folded = matrix(weight.rows, weight.cols);
  const bias = new Float32Array(weight.cols);
  for (let j = 0; j < weight.cols; j++) {
    let sum = 0;
    for (let i = 0; i < outputs.rows; i++) sum += outputs.data[i * outputs.cols + j]!;
    const mean = sum / outputs.rows;
    let squares = 0;
    for (let i = 0; i < outputs.rows; i++) squares += (outputs.data[i * outputs.cols + j]! - mean) ** 2;
    const scale = gamma[j]! / Math.sqrt(squares / outputs.rows + EPSILON);
    for (let i = 0; i < weight.rows; i++)
      folded.data[i * weight.cols + j] = weight.data[i * weight.cols + j]! * scale;
    bias[j] = beta[j]! - mean * scale;
  }
  return { weight: folded, bias, relu: false };
}

/** A chain of affine layers as one, multiplied out in float64. */
function foldLinear(chain: readonly EncoderLayer[]): EncoderLayer {
  const first = chain[0]!;
  let cols = first.weight.rows;
  let product = Float64Array.from({ length: cols * cols }, (_, i) => (i % (cols + 1) === 0 ? 1 : 0));
  let bias = new Float64Array(cols);
  const rows = cols;
  for (const layer of chain) {
    const stacked = multiply(product, rows, layer.weight);
    const moved = multiply(bias, 1, layer.weight);
    cols = layer.weight.cols;
    product = stacked;
    bias = moved.map((value, j) => value + (layer.bias?.[j] ?? 0));
  }
  return {
    weight: matrix(rows, cols, Float32Array.from(product)),
    bias: Float32Array.from(bias),
    relu: false,
  };
}

function multiply(a: Float64Array, rows: number, b: Matrix): Float64Array<ArrayBuffer> {
  const out = new Float64Array(rows * b.cols);
  for (let i = 0; i < rows; i++) {
    for (let k = 0; k < b.rows; k++) {
      const value = a[i * b.rows + k]!;
      if (value === 0) continue;
      for (let j = 0; j < b.cols; j++)
        out[i * b.cols + j] = out[i * b.cols + j]! + value * b.data[k * b.cols + j]!;
    }
  }
  return out;
}
