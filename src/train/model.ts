import type { EncoderLayer, EncoderNetwork } from '../encoder/network.js';
import { expectDefined, TldrError } from '../core/errors.js';
import { Kernel } from '../encoder/projection-kernel.js';
import { matrix, spacedRows, type Matrix } from '../core/matrix.js';
import type { Rng } from '../core/rng.js';
import { RESIDUAL } from '../hyper-parameters/fit-of-candidates.js';
import { EPSILON, type Ops, type ParameterSpec } from './engine/ops.js';

/**
 * `linear`, `flinear-L-H` or `mlp-L-H` (TLDR, Kalantidis et al. 2022): L hidden blocks of width H, then a
 * linear layer. `residual-H`: a linear map plus a hidden layer of width H, x W + relu(x A + a) V. At the
 * start of training, V is zero, so only the linear map has an effect.
 */
export interface Architecture {
  readonly kind: 'none' | 'linear' | 'flinear' | 'mlp' | 'residual';
  readonly hiddenLayers: number;
  readonly hiddenWidth: number;
}

/** Rows for batch norm's final statistics: more rows make no difference that float32 weights can hold. */
const STATISTICS_ROWS_MAX = 20_000;
const WIDTH_MAX = 65536;
const LAYERS_MAX = 16;

/** Reads an architecture's name. @throws INVALID_ARGUMENT when it names none of these kinds */
export function parseArchitecture(text: string, kinds: readonly Architecture['kind'][]): Architecture {
  const match = /^(?:(none|linear|flinear|mlp)(?:-(\d+)-(\d+))?|(residual)-(\d+))$/.exec(text);
  const kind = kinds.find((name) => name === (match?.[1] ?? match?.[4]));
  const layered = kind === 'flinear' || kind === 'mlp' || kind === 'residual';
  // Linear kinds have no numbers in their names: both are 0.
  const hiddenLayers = kind === 'residual' ? 1 : Number(match?.[2] ?? 0);
  const hiddenWidth = Number(match?.[3] ?? match?.[5] ?? 0);
  const inRange =
    hiddenLayers >= 1 && hiddenLayers <= LAYERS_MAX && hiddenWidth >= 1 && hiddenWidth <= WIDTH_MAX;
  if (kind === undefined || (layered ? !inRange : match?.[2] !== undefined)) {
    const forms = kinds.map((name) =>
      name === 'flinear' || name === 'mlp'
        ? `${name}-LAYERS-WIDTH`
        : name === 'residual'
          ? 'residual-WIDTH'
          : name,
    );
    throw new TldrError(
      'INVALID_ARGUMENT',
      `"${text}" is no architecture here: expected ${forms.join(', ')}`,
    );
  }
  return { kind, hiddenLayers, hiddenWidth };
}

/**
 * Encoder and projector as one list of parameters, in the order in which `forward` and `projectHead` read
 * them.
 */
export interface Model {
  readonly encoder: Architecture;
  readonly projector: Architecture;
  readonly inputDim: number;
  readonly outputDim: number;
  /** Columns that the hidden layer of a residual encoder reads: inputDim, or coordinates along fewer directions. */
  readonly hiddenInputDim: number;
  readonly parameters: readonly ParameterSpec[];
  /** Number of the encoder's parameters; they come first in `parameters`. */
  readonly encoderParameters: number;
}

/** Lays out the parameters of an encoder inputDim to outputDim and a projector on top of it. */
export function createModel(
  dims: Pick<Model, 'inputDim' | 'outputDim'> & Partial<Pick<Model, 'hiddenInputDim'>>,
  encoder: Architecture,
  projector: Architecture,
): Model {
  const parameters: ParameterSpec[] = [];
  const { hiddenInputDim = dims.inputDim } = dims;
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
  if (encoder.kind === 'residual') {
    const { hiddenWidth } = encoder;
    parameters.push(
      { name: 'encoder.hidden.weight', kind: 'hidden', shape: [hiddenInputDim, hiddenWidth] },
      { name: 'encoder.hidden.bias', kind: 'beta', shape: [1, hiddenWidth] },
      { name: 'encoder.hidden.output', kind: 'hidden', shape: [hiddenWidth, dims.outputDim] },
      { name: 'encoder.weight', kind: 'weight', shape: [dims.inputDim, dims.outputDim] },
    );
  } else {
    const last = hidden('encoder', encoder, dims.inputDim);
    parameters.push({ name: 'encoder.weight', kind: 'weight', shape: [last, dims.outputDim] });
  }
  const encoderParameters = parameters.length;
  if (projector.kind !== 'none') {
    const width = hidden('projector', projector, dims.outputDim);
    parameters.push({ name: 'projector.weight', kind: 'weight', shape: [width, projector.hiddenWidth] });
  }
  return { encoder, projector, ...dims, hiddenInputDim, parameters, encoderParameters };
}

/** The hidden layer of a residual encoder: relu(x weight + bias) output. */
export interface HiddenWeights {
  /** hiddenInputDim x width. */
  readonly weight: Float32Array;
  readonly bias: Float32Array;
  /** width x outputDim. */
  readonly output: Float32Array;
}

/**
 * Initial values of all parameters. Weights are uniform in +-1/sqrt(fan-in), the default of PyTorch's linear
 * layers; gamma is 1, beta 0. If `initialWeight` (inputDim x outputDim) is passed, the linear encoder, or the
 * linear part of a residual encoder, starts from it. The hidden weights of a residual encoder are normal and
 * give small activations for rows of length `rowNorm`; its hidden output starts at zero. If `initialParameters` is
 * passed, the result is a copy of it.
 * @throws INVALID_ARGUMENT when `initialParameters` has other sizes than the model
 */
export function initialParameters(
  model: Model,
  rng: Rng,
  {
    initialWeight,
    initialHidden,
    initialParameters: all,
    rowNorm = 1,
  }: {
    readonly initialWeight?: Matrix | undefined;
    readonly initialHidden?: HiddenWeights | undefined;
    readonly initialParameters?: readonly Float32Array[] | undefined;
    readonly rowNorm?: number;
  } = {},
): Float32Array[] {
  if (all !== undefined) return copiedParameters(model, all);
  return model.parameters.map((spec) => {
    const [rows = 0, cols = 0] = spec.shape;
    if (initialWeight !== undefined && spec.name === 'encoder.weight') return initialWeight.data.slice();
    const given = /^encoder\.hidden\.(weight|bias|output)$/.exec(spec.name)?.[1];
    if (initialHidden !== undefined && given !== undefined)
      return initialHidden[given as keyof HiddenWeights].slice();
    const values = new Float32Array(rows * cols);
    if (spec.name === 'encoder.hidden.output') return values;
    if (spec.name === 'encoder.hidden.weight')
      return values.map(() => (RESIDUAL.hiddenScale * rng.normal()) / rowNorm);
    if (spec.kind === 'gamma' || spec.kind === 'beta') return values.fill(spec.kind === 'gamma' ? 1 : 0);
    const bound = 1 / Math.sqrt(rows);
    return values.map(() => (2 * rng.uniform() - 1) * bound);
  });
}

function copiedParameters({ parameters }: Model, all: readonly Float32Array[]): Float32Array[] {
  const expected = parameters.map(({ shape: [rows = 0, cols = 0] }) => rows * cols);
  if (all.length === expected.length && all.every(({ length }, i) => length === expected[i]))
    return all.map((values) => values.slice());
  throw new TldrError(
    'INVALID_ARGUMENT',
    `initialParameters: got arrays of ${all.map(({ length }) => length).join(', ')} values, expected ${expected.join(', ')}: give those of a training with the same encoder and projector`,
  );
}

/**
 * Encodes x [n, inputDim] as [n, outputDim], with batch norm over each of the `groups` views. If
 * `coordinates` [n, hiddenInputDim] are passed, the hidden layer of a residual encoder reads them instead of
 * x.
 */
export function forward<T>(
  ops: Ops<T>,
  model: Model,
  parameters: readonly T[],
  input: { x: T; coordinates?: T; groups: number },
): T {
  const own = parameters.slice(0, model.encoderParameters);
  if (model.encoder.kind !== 'residual') return layers(ops, model.encoder, own, input);
  const [weight, bias, output, linear] = own;
  if (weight === undefined || bias === undefined || output === undefined || linear === undefined)
    return input.x;
  const hidden = ops.relu(ops.add(ops.matmul(input.coordinates ?? input.x, weight), bias));
  return ops.add(ops.matmul(input.x, linear), ops.matmul(hidden, output));
}

/** The projector's output for the encoder's output x [n, outputDim]; x itself if there is no projector. */
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
 * The trained encoder as plain layers. Batch norm is replaced by its statistics over at most 20,000 rows of
 * the sample, layer by layer, and folded into the weights. `flinear` is folded further, into one matrix.
 *
 * - `sample` (n x inputDim) is prepared as in training.
 * - `shift` (length inputDim) was subtracted from the sample's rows. The first bias subtracts it from every
 *   vector. A linear encoder has no bias and needs none, because the shift moves all its outputs alike.
 * - `directions` (inputDim x hiddenInputDim) gave the coordinates that the hidden layer read.
 */
export function foldEncoder(
  model: Model,
  parameters: readonly Float32Array[],
  {
    sample,
    shift,
    directions,
  }: {
    readonly sample: Matrix;
    readonly shift: Float64Array | null;
    readonly directions?: Matrix | undefined;
  },
): EncoderLayer[] {
  const residual = model.encoder.kind === 'residual';
  const plain = residual
    ? foldResidual(model, parameters, directions)
    : foldBlocks(model, parameters, sample);
  return plain.map((layer, i) => (i === 0 && shift !== null ? foldShift(layer, shift) : layer));
}

function foldBlocks(model: Model, parameters: readonly Float32Array[], sample: Matrix): EncoderLayer[] {
  const folded: EncoderLayer[] = [];
  let current = model.encoder.hiddenLayers === 0 ? sample : spacedRows(sample, STATISTICS_ROWS_MAX);
  let inputWidth = model.inputDim;
  for (let i = 0; i < model.encoder.hiddenLayers; i++) {
    const [weight, gamma, beta] = parameters.slice(i * 3, i * 3 + 3);
    if (weight === undefined || gamma === undefined || beta === undefined)
      throw new TldrError('INTERNAL', `the parameters of layer ${i} are missing`);
    const plain = { weight: matrix(inputWidth, model.encoder.hiddenWidth, weight), bias: null, relu: false };
    const layer = foldBatchNorm(plain, apply(current, [plain]), { gamma, beta });
    folded.push({ ...layer, relu: model.encoder.kind === 'mlp' });
    current = apply(current, folded.slice(-1));
    inputWidth = model.encoder.hiddenWidth;
  }
  const last = expectDefined(parameters[model.encoderParameters - 1], 'the last layer');
  folded.push({ weight: matrix(inputWidth, model.outputDim, last.slice()), bias: null, relu: false });
  return model.encoder.kind === 'flinear' ? [foldLinear(folded)] : folded;
}

/** (x - shift) W + b as x W + (b - shift W). A layer without bias stays as it is. */
function foldShift(layer: EncoderLayer, shift: Float64Array): EncoderLayer {
  const { weight, bias } = layer;
  if (bias === null) return layer;
  const moved = multiply(shift, 1, weight);
  return { ...layer, bias: bias.map((value, j) => value - moved[j]!) };
}

/**
 * A residual encoder as two plain layers, relu(x [A, W, -W] + [a, 0, 0]) [V; I; -I]. The linear part passes
 * the ReLU unchanged, because relu(u) - relu(-u) = u for u = x W.
 */
function foldResidual(
  { inputDim, outputDim, hiddenInputDim, encoder: { hiddenWidth } }: Model,
  [hidden, bias, output, linear]: readonly Float32Array[],
  directions: Matrix | undefined,
): EncoderLayer[] {
  const width = hiddenWidth + 2 * outputDim;
  const first = matrix(inputDim, width);
  const firstBias = new Float32Array(width);
  const second = matrix(width, outputDim);
  if (hidden === undefined || bias === undefined || output === undefined || linear === undefined) return [];
  const own = { weight: matrix(hiddenInputDim, hiddenWidth, hidden), bias: null, relu: false };
  const weight = directions === undefined ? hidden : apply(directions, [own]).data;
  for (let i = 0; i < inputDim; i++) {
    const to = first.data.subarray(i * width, (i + 1) * width);
    to.set(weight.subarray(i * hiddenWidth, (i + 1) * hiddenWidth));
    for (let j = 0; j < outputDim; j++) {
      const value = linear[i * outputDim + j]!;
      to[hiddenWidth + j] = value;
      to[hiddenWidth + outputDim + j] = -value;
    }
  }
  firstBias.set(bias);
  second.data.set(output);
  for (let j = 0; j < outputDim; j++) {
    second.data[(hiddenWidth + j) * outputDim + j] = 1;
    second.data[(hiddenWidth + outputDim + j) * outputDim + j] = -1;
  }
  return [
    { weight: first, bias: firstBias, relu: true },
    { weight: second, bias: null, relu: false },
  ];
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
  const [first, ...others] = chain;
  if (first === undefined) throw new TldrError('INTERNAL', 'no layers to fold');
  const { rows } = first.weight;
  let { cols } = first.weight;
  let product = Float64Array.from(first.weight.data);
  let bias = first.bias === null ? new Float64Array(cols) : Float64Array.from(first.bias);
  for (const layer of others) {
    const stacked = multiply(product, rows, layer.weight);
    const moved = multiply(bias, 1, layer.weight);
    cols = layer.weight.cols;
    product = stacked;
    const { bias: added } = layer;
    bias = added === null ? moved : moved.map((value, j) => value + added[j]!);
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
