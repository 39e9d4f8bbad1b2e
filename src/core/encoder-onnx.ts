import { DISTANCES, type Distance } from './distance.js';
import { checkNetwork, fingerprintOf } from './encoder-network.js';
import type { EncoderLayer, EncoderMetadata, EncoderNetwork } from './encoder-network.js';
import { TldrError } from './errors.js';
import { matrix } from './matrix.js';
import { decodeOnnxModel, encodeOnnxModel } from './onnx-model.js';
import type { OnnxModel, OnnxNode, OnnxTensor } from './onnx-model.js';

const FORMAT_VERSION = '1';
const INPUT = 'vectors';
const OUTPUT = 'projected';

/** The encoder as a standard ONNX model, `vectors: [n, inputDim]` to `projected: [n, outputDim]`. */
export function encoderToOnnx(network: EncoderNetwork, metadata: EncoderMetadata): Uint8Array {
  return networkToOnnx(
    network,
    new Map([
      ['tldr.format_version', FORMAT_VERSION],
      ['tldr.fingerprint', fingerprintOf(network)],
      ['tldr.metadata', JSON.stringify(metadata)],
    ]),
  );
}

/** The computation alone, for a session of this process. */
export function networkToOnnx(
  network: EncoderNetwork,
  metadata: ReadonlyMap<string, string> = new Map(),
): Uint8Array {
  const nodes: OnnxNode[] = [];
  const tensors: OnnxTensor[] = [];
  let current = INPUT;
  const add = (opType: string, inputs: string[], ints: Record<string, number> = {}): void => {
    const output = `${opType.toLowerCase()}_${nodes.length}`;
    nodes.push({ opType, inputs: [current, ...inputs], outputs: [output], ints });
    current = output;
  };
  if (network.normalizeInput) add('LpNormalization', [], { axis: -1, p: 2 });
  network.layers.forEach(({ weight, bias, relu }, i) => {
    const inputs = [`weight_${i}`];
    tensors.push({ name: `weight_${i}`, dims: [weight.rows, weight.cols], data: weight.data });
    if (bias !== null) {
      inputs.push(`bias_${i}`);
      tensors.push({ name: `bias_${i}`, dims: [bias.length], data: bias });
    }
    add('Gemm', inputs);
    if (relu) add('Relu', []);
  });
  if (network.normalizeOutput) add('LpNormalization', [], { axis: -1, p: 2 });
  const last = nodes.pop();
  if (last !== undefined) nodes.push({ ...last, outputs: [OUTPUT] });
  const { layers } = network;
  return encodeOnnxModel({
    nodes,
    tensors,
    inputs: [{ name: INPUT, dims: ['n', layers[0]?.weight.rows ?? 0] }],
    outputs: [{ name: OUTPUT, dims: ['n', layers.at(-1)?.weight.cols ?? 0] }],
    metadata,
  });
}

/**
 * Reads what `encoderToOnnx` wrote.
 * @throws INVALID_DATA when the bytes are no such model
 * @throws MISMATCH when the weights are not those the fingerprint was taken from
 */
export function encoderFromOnnx(bytes: Uint8Array): { network: EncoderNetwork; metadata: EncoderMetadata } {
  const model = decodeOnnxModel(bytes);
  const version = model.metadata.get('tldr.format_version');
  if (version !== FORMAT_VERSION) {
    throw new TldrError(
      'INVALID_DATA',
      `encoder file of format version ${version ?? '(none)'}: expected ${FORMAT_VERSION}, as written by "train"`,
    );
  }
  const network = readNetwork(model);
  checkNetwork(network);
  const expected = model.metadata.get('tldr.fingerprint') ?? '(none)';
  const actual = fingerprintOf(network);
  if (actual !== expected) {
    throw new TldrError(
      'MISMATCH',
      `encoder file is damaged: its weights have fingerprint ${actual}, it says ${expected}`,
    );
  }
  return { network, metadata: parseMetadata(model.metadata.get('tldr.metadata') ?? '') };
}

function readNetwork(model: OnnxModel): EncoderNetwork {
  const tensors = new Map(model.tensors.map((tensor) => [tensor.name, tensor]));
  const layers: EncoderLayer[] = [];
  let normalizeInput = false;
  let normalizeOutput = false;
  model.nodes.forEach((node, i) => {
    const layer = layers.at(-1);
    if (node.opType === 'LpNormalization' && i === 0) normalizeInput = true;
    else if (node.opType === 'LpNormalization' && i === model.nodes.length - 1) normalizeOutput = true;
    else if (node.opType === 'Gemm') layers.push(readLayer(node, tensors));
    else if (node.opType === 'Relu' && layer !== undefined)
      layers[layers.length - 1] = { ...layer, relu: true };
    else
      throw new TldrError('INVALID_DATA', `encoder file: operation ${node.opType} at ${i} is not expected`);
  });
  return { normalizeInput, layers, normalizeOutput };
}

function readLayer(node: OnnxNode, tensors: ReadonlyMap<string, OnnxTensor>): EncoderLayer {
  const [, weightName = '', biasName] = node.inputs;
  const weight = tensors.get(weightName);
  const bias = biasName === undefined ? null : tensors.get(biasName)?.data;
  const [rows, cols] = weight?.dims ?? [];
  if (
    !(weight?.data instanceof Float32Array) ||
    !(bias === null || bias instanceof Float32Array) ||
    rows === undefined ||
    cols === undefined
  ) {
    throw new TldrError('INVALID_DATA', `encoder file: the weights of "${weightName}" are missing`);
  }
  return { weight: matrix(rows, cols, weight.data), bias, relu: false };
}

function parseMetadata(json: string): EncoderMetadata {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch (cause) {
    throw new TldrError('INVALID_DATA', 'encoder file: its metadata is no JSON', { cause });
  }
  if (!isMetadata(value)) {
    throw new TldrError('INVALID_DATA', 'encoder file: its metadata lacks required fields');
  }
  return value;
}

function isMetadata(value: unknown): value is EncoderMetadata {
  if (typeof value !== 'object' || value === null) return false;
  const fields = new Map<string, unknown>(Object.entries(value));
  const isDistance = (name: string): boolean => DISTANCES.includes(fields.get(name) as Distance);
  const isRecordOf = (name: string, types: readonly string[]): boolean => {
    const record = fields.get(name);
    if (typeof record !== 'object' || record === null) return false;
    return Object.values(record).every((entry) => types.includes(typeof entry));
  };
  return (
    ['method', 'source', 'dataFingerprint', 'createdBy'].every(
      (name) => typeof fields.get(name) === 'string',
    ) &&
    typeof fields.get('seed') === 'number' &&
    isDistance('distance') &&
    isDistance('compactDistance') &&
    isRecordOf('hyperParameters', ['string', 'number', 'boolean']) &&
    isRecordOf('metrics', ['number'])
  );
}
