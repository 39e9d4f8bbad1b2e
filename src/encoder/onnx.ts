import * as v from 'valibot';
import { checkJson } from '../core/check-schema.js';
import { DISTANCES } from '../core/distance.js';
import { checkNetworks, fingerprintOf, shapeOf } from './network.js';
import type { EncoderLayer, EncoderMetadata, EncoderNetwork, EncoderNetworks } from './network.js';
import { expectDefined, TldrError } from '../core/errors.js';
import { matrix } from '../core/matrix.js';
import { decodeOnnxModel, encodeOnnxModel, ONNX_DOUBLE, ONNX_FLOAT } from './onnx-model.js';
import type { OnnxModel, OnnxNode, OnnxTensor } from './onnx-model.js';
import { parseSummary, summaryText } from './sample-summary.js';

/** Format versions of encoders with one network, and with a second network for queries. */
const FORMAT_VERSIONS = { symmetric: '1', asymmetric: '2' } as const;
const INPUT = 'vectors';
const OUTPUT = 'projected';
const QUERY_OUTPUT = 'projected_queries';
const QUERY_PREFIX = 'query_';
/** An entry of its own, so that people can read the other metadata. */
const SAMPLE_KEY = 'tldr.sample';

const METADATA = v.looseObject({
  method: v.string(),
  distance: v.picklist(DISTANCES),
  compactDistance: v.picklist(DISTANCES),
  source: v.string(),
  seed: v.number(),
  dataFingerprint: v.string(),
  hyperParameters: v.record(v.string(), v.union([v.string(), v.number(), v.boolean()])),
  metrics: v.record(v.string(), v.number()),
  createdBy: v.string(),
});

/**
 * The encoder as a standard ONNX model, `vectors: [n, inputDim]` to `projected: [n, outputDim]`. An
 * asymmetric encoder has a second output of the same shape, `projected_queries`.
 */
export function encoderToOnnx(networks: EncoderNetworks, metadata: EncoderMetadata): Uint8Array {
  const { network, queryNetwork } = networks;
  const symmetric = queryNetwork === network;
  const graphs = [graphOf(network, { output: OUTPUT, prefix: '' })];
  if (!symmetric) graphs.push(graphOf(queryNetwork, { output: QUERY_OUTPUT, prefix: QUERY_PREFIX }));
  const fingerprint = fingerprintOf(networks);
  const { sample, ...plain } = metadata;
  const entries: [string, string][] = [
    ['tldr.format_version', symmetric ? FORMAT_VERSIONS.symmetric : FORMAT_VERSIONS.asymmetric],
    ['tldr.fingerprint', fingerprint],
    ['tldr.metadata', JSON.stringify(plain)],
  ];
  // A summary made for other weights would take every vector for a far one.
  if (sample?.encoder === fingerprint) entries.push([SAMPLE_KEY, summaryText(sample)]);
  return encodeGraphs(graphs, new Map(entries));
}

/**
 * One network as an ONNX model, `vectors` to `projected`, without metadata: for a session of this process.
 */
export function networkToOnnx(network: EncoderNetwork): Uint8Array {
  return encodeGraphs([graphOf(network, { output: OUTPUT, prefix: '' })], new Map());
}

type OnnxGraph = Omit<OnnxModel, 'metadata'>;

/** Encodes graphs that share their input as one model. */
function encodeGraphs(graphs: readonly OnnxGraph[], metadata: ReadonlyMap<string, string>): Uint8Array {
  return encodeOnnxModel({
    nodes: graphs.flatMap(({ nodes }) => nodes),
    tensors: graphs.flatMap(({ tensors }) => tensors),
    inputs: expectDefined(graphs[0], 'the first graph').inputs,
    outputs: graphs.flatMap(({ outputs }) => outputs),
    metadata,
  });
}

/** The network as an ONNX graph with this name of its output; `prefix` begins all its other names. */
function graphOf(
  network: EncoderNetwork,
  { output, prefix }: { readonly output: string; readonly prefix: string },
): OnnxGraph {
  const nodes: OnnxNode[] = [];
  const tensors: OnnxTensor[] = [];
  let current = INPUT;
  const add = (opType: string, inputs: string[], ints: Record<string, number> = {}): void => {
    const result = `${prefix}${opType.toLowerCase()}_${nodes.length}`;
    nodes.push({ opType, inputs: [current, ...inputs], outputs: [result], ints });
    current = result;
  };
  // In float64, as in the kernel: in float32 the squares of very large or small values are infinite or zero.
  const addNormalization = (): void => {
    add('Cast', [], { to: ONNX_DOUBLE });
    add('LpNormalization', [], { axis: -1, p: 2 });
    add('Cast', [], { to: ONNX_FLOAT });
  };
  if (network.normalizeInput) addNormalization();
  network.layers.forEach(({ weight, bias, relu }, i) => {
    const inputs = [`${prefix}weight_${i}`];
    tensors.push({ name: `${prefix}weight_${i}`, dims: [weight.rows, weight.cols], data: weight.data });
    if (bias !== null) {
      inputs.push(`${prefix}bias_${i}`);
      tensors.push({ name: `${prefix}bias_${i}`, dims: [bias.length], data: bias });
    }
    add('Gemm', inputs);
    if (relu) add('Relu', []);
  });
  if (network.normalizeOutput) addNormalization();
  const last = nodes.pop();
  if (last !== undefined) nodes.push({ ...last, outputs: [output] });
  const { inputDim, outputDim } = shapeOf(network);
  return {
    nodes,
    tensors,
    inputs: [{ name: INPUT, dims: ['n', inputDim] }],
    outputs: [{ name: output, dims: ['n', outputDim] }],
  };
}

/**
 * Reads what `encoderToOnnx` wrote.
 * @throws INVALID_DATA when the bytes are no such model
 * @throws MISMATCH when the weights do not have the fingerprint that the model states
 */
export function encoderFromOnnx(bytes: Uint8Array): EncoderNetworks & { readonly metadata: EncoderMetadata } {
  const model = decodeOnnxModel(bytes);
  const version = model.metadata.get('tldr.format_version');
  const known: readonly (string | undefined)[] = Object.values(FORMAT_VERSIONS);
  if (!known.includes(version)) {
    throw new TldrError(
      'INVALID_DATA',
      `encoder file of format version ${version ?? '(none)'}: expected ${known.join(' or ')}, as written by "train"`,
    );
  }
  const networks = readNetworks(model, version === FORMAT_VERSIONS.symmetric);
  checkNetworks(networks);
  const expected = model.metadata.get('tldr.fingerprint') ?? '(none)';
  const actual = fingerprintOf(networks);
  if (actual !== expected) {
    throw new TldrError(
      'MISMATCH',
      `encoder file is damaged: its weights have fingerprint ${actual}, but it states ${expected}`,
    );
  }
  const metadata = parseMetadata(model.metadata.get('tldr.metadata'));
  const summary = model.metadata.get(SAMPLE_KEY);
  if (summary === undefined) return { ...networks, metadata };
  const sample = parseSummary(summary, shapeOf(networks.network).outputDim);
  return { ...networks, metadata: sample.encoder === actual ? { ...metadata, sample } : metadata };
}

/** Reads the chain of nodes for points and, after it, the chain for queries if there is one. */
function readNetworks({ nodes, tensors }: OnnxModel, symmetric: boolean): EncoderNetworks {
  const byName = new Map(tensors.map((tensor) => [tensor.name, tensor]));
  const second = nodes.findIndex(({ inputs }, i) => i > 0 && inputs[0] === INPUT);
  if (second < 0 !== symmetric) {
    throw new TldrError(
      'INVALID_DATA',
      `encoder file: expected ${symmetric ? 'one map' : 'a map of points and one of queries'}`,
    );
  }
  if (symmetric) {
    const network = readNetwork(nodes, byName);
    return { network, queryNetwork: network };
  }
  return {
    network: readNetwork(nodes.slice(0, second), byName),
    queryNetwork: readNetwork(nodes.slice(second), byName),
  };
}

function isCast(node: OnnxNode | undefined, to: number): boolean {
  return node?.opType === 'Cast' && node.ints?.['to'] === to;
}

/** Nodes without the casts around normalisations. Files of earlier versions have no such casts. */
function withoutCasts(nodes: readonly OnnxNode[]): readonly OnnxNode[] {
  const isWide = (at: number): boolean =>
    nodes[at]?.opType === 'LpNormalization' &&
    isCast(nodes[at - 1], ONNX_DOUBLE) &&
    isCast(nodes[at + 1], ONNX_FLOAT);
  return nodes.filter((_, i) => !isWide(i - 1) && !isWide(i + 1));
}

function readNetwork(all: readonly OnnxNode[], tensors: ReadonlyMap<string, OnnxTensor>): EncoderNetwork {
  const nodes = withoutCasts(all);
  const layers: EncoderLayer[] = [];
  let normalizeInput = false;
  let normalizeOutput = false;
  nodes.forEach((node, i) => {
    const layer = layers.at(-1);
    if (node.opType === 'LpNormalization' && i === 0) normalizeInput = true;
    else if (node.opType === 'LpNormalization' && i === nodes.length - 1) normalizeOutput = true;
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

function parseMetadata(json: string | undefined): Omit<EncoderMetadata, 'sample'> {
  const refuse = (problem: string, cause?: unknown): TldrError =>
    new TldrError('INVALID_DATA', `encoder file: its metadata cannot be used: ${problem}`, { cause });
  if (json === undefined) throw refuse('there is none');
  return checkJson(METADATA, json, { refuse });
}
