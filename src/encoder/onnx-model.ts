import { expectDefined, TldrError } from '../core/errors.js';
import { ProtoReader, ProtoWriter } from './protobuf.js';

/** Field numbers below are those of onnx.proto (github.com/onnx/onnx, onnx/onnx.proto), IR version 8. */
const IR_VERSION = 8;
const OPSET_VERSION = 17;
/** TensorProto.DataType of float32. */
export const ONNX_FLOAT = 1;
/** TensorProto.DataType of float64. */
export const ONNX_DOUBLE = 11;
const ONNX_INT64 = 7;
/** AttributeProto.AttributeType */
const ATTRIBUTE_FLOAT = 1;
const ATTRIBUTE_INT = 2;
const ATTRIBUTE_INTS = 7;

/** An encoder has a few hundred fields. Each takes hundreds of bytes of memory when it is read. */
const FIELDS_MAX = 100_000;
/** The longest text is the metadata, with a few thousand bytes. */
const TEXT_BYTES_MAX = 1024 ** 2;

/** One operation; attributes are whole numbers, lists of them, or floats. */
export interface OnnxNode {
  readonly opType: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly ints?: Readonly<Record<string, number>>;
  readonly intLists?: Readonly<Record<string, readonly number[]>>;
  readonly floats?: Readonly<Record<string, number>>;
}

/** A float32 constant, or an int64 one (shapes and axes). */
export interface OnnxTensor {
  readonly name: string;
  readonly dims: readonly number[];
  readonly data: Float32Array | BigInt64Array;
}

/** A graph input or output, float32 unless `double`; a text dimension is symbolic. */
export interface OnnxValue {
  readonly name: string;
  readonly dims: readonly (number | string)[];
  readonly double?: boolean;
}

/** The part of an ONNX model that an encoder needs. */
export interface OnnxModel {
  readonly nodes: readonly OnnxNode[];
  readonly tensors: readonly OnnxTensor[];
  readonly inputs: readonly OnnxValue[];
  readonly outputs: readonly OnnxValue[];
  readonly metadata: ReadonlyMap<string, string>;
}

/** The model as the bytes of an `.onnx` file; the same model always gives the same bytes. */
export function encodeOnnxModel(model: OnnxModel): Uint8Array {
  const graph = new ProtoWriter(4096);
  for (const node of model.nodes) graph.message(1, encodeNode(node));
  graph.string(2, 'encoder');
  for (const tensor of model.tensors) graph.message(5, encodeTensor(tensor));
  for (const input of model.inputs) graph.message(11, encodeValue(input));
  for (const output of model.outputs) graph.message(12, encodeValue(output));
  const out = new ProtoWriter(4096)
    .varint(1, IR_VERSION)
    .string(2, 'qdrant-tldr')
    .message(7, graph)
    .message(8, new ProtoWriter().string(1, '').varint(2, OPSET_VERSION));
  for (const [key, value] of model.metadata) {
    out.message(14, new ProtoWriter().string(1, key).string(2, value));
  }
  return out.finish();
}

function encodeNode(node: OnnxNode): ProtoWriter {
  const out = new ProtoWriter();
  for (const input of node.inputs) out.string(1, input);
  for (const output of node.outputs) out.string(2, output);
  const output = expectDefined(node.outputs[0], `the output of a ${node.opType} node`);
  out.string(3, `${node.opType}:${output}`).string(4, node.opType);
  const attribute = (name: string, type: number, write: (to: ProtoWriter) => ProtoWriter): void => {
    out.message(5, write(new ProtoWriter().string(1, name)).varint(20, type));
  };
  for (const [name, value] of Object.entries(node.floats ?? {})) {
    attribute(name, ATTRIBUTE_FLOAT, (to) => to.float(2, value));
  }
  for (const [name, value] of Object.entries(node.ints ?? {})) {
    attribute(name, ATTRIBUTE_INT, (to) => to.varint(3, unsigned(value)));
  }
  for (const [name, values] of Object.entries(node.intLists ?? {})) {
    attribute(name, ATTRIBUTE_INTS, (to) => {
      for (const value of values) to.varint(8, unsigned(value));
      return to;
    });
  }
  return out;
}

/** Negative numbers are written as their 64-bit two's complement. */
function unsigned(value: number): bigint {
  return BigInt.asUintN(64, BigInt(value));
}

function encodeTensor(tensor: OnnxTensor): ProtoWriter {
  const { buffer, byteOffset, byteLength } = tensor.data;
  const out = new ProtoWriter(byteLength + 64);
  for (const dim of tensor.dims) out.varint(1, dim);
  return out
    .varint(2, tensor.data instanceof Float32Array ? ONNX_FLOAT : ONNX_INT64)
    .string(8, tensor.name)
    .bytes(9, new Uint8Array(buffer, byteOffset, byteLength));
}

function encodeValue(value: OnnxValue): ProtoWriter {
  const shape = new ProtoWriter();
  for (const dim of value.dims) {
    const one = new ProtoWriter();
    shape.message(1, typeof dim === 'number' ? one.varint(1, dim) : one.string(2, dim));
  }
  const type = new ProtoWriter().message(
    1,
    new ProtoWriter().varint(1, value.double === true ? ONNX_DOUBLE : ONNX_FLOAT).message(2, shape),
  );
  return new ProtoWriter().string(1, value.name).message(2, type);
}

/**
 * Reads what `encodeOnnxModel` writes, and models of other tools that use the same few parts. For any input,
 * it copies only the values of the tensors and a small part of the other bytes.
 * @throws INVALID_DATA when the bytes are no ONNX model, or exceed an encoder's number of fields or text
 * lengths
 */
export function decodeOnnxModel(bytes: Uint8Array): OnnxModel {
  const fieldsOf = boundedFields();
  const metadata = new Map<string, string>();
  let graph: Uint8Array | undefined;
  for (const { field, bytes: value } of fieldsOf(bytes)) {
    if (field === 7) graph = value;
    if (field === 14) metadata.set(textField(fieldsOf, value, 1), textField(fieldsOf, value, 2));
  }
  if (graph === undefined) throw new TldrError('INVALID_DATA', 'no ONNX model: the graph is missing');
  const nodes: OnnxNode[] = [];
  const tensors: OnnxTensor[] = [];
  const inputs: OnnxValue[] = [];
  const outputs: OnnxValue[] = [];
  for (const { field, bytes: value } of fieldsOf(graph)) {
    if (field === 1) nodes.push(decodeNode(fieldsOf, value));
    if (field === 5) tensors.push(decodeTensor(fieldsOf, value));
    if (field === 11) inputs.push(decodeValue(fieldsOf, value));
    if (field === 12) outputs.push(decodeValue(fieldsOf, value));
  }
  return { nodes, tensors, inputs, outputs, metadata };
}

/** A field of a message: a number, or the bytes of any other value as a view. */
interface OnnxField {
  readonly field: number;
  readonly varint: bigint;
  readonly bytes: Uint8Array;
}

/** Yields the fields of a message and counts them towards the limit for the whole model. */
type FieldsOf = (message: Uint8Array) => Generator<OnnxField>;

const NO_BYTES = new Uint8Array(0);

function boundedFields(): FieldsOf {
  let fields = 0;
  const damaged = (what: string): TldrError => new TldrError('INVALID_DATA', `it is damaged: ${what}`);
  return function* (message) {
    const reader = new ProtoReader(message, damaged);
    while (reader.next()) {
      const { field } = reader;
      if (++fields > FIELDS_MAX)
        throw new TldrError(
          'INVALID_DATA',
          `it has more than ${FIELDS_MAX} fields, more than an encoder has`,
        );
      yield reader.wireType === 0
        ? { field, varint: reader.uint64(), bytes: NO_BYTES }
        : { field, varint: 0n, bytes: reader.value() };
    }
  };
}

function text(bytes: Uint8Array): string {
  if (bytes.length > TEXT_BYTES_MAX)
    throw new TldrError(
      'INVALID_DATA',
      `it has a text of ${bytes.length} bytes, expected at most ${TEXT_BYTES_MAX}`,
    );
  return new TextDecoder().decode(bytes);
}

function textField(fieldsOf: FieldsOf, message: Uint8Array, wanted: number): string {
  for (const { field, bytes } of fieldsOf(message)) if (field === wanted) return text(bytes);
  return '';
}

function decodeNode(fieldsOf: FieldsOf, message: Uint8Array): OnnxNode {
  const inputs: string[] = [];
  const outputs: string[] = [];
  const ints: Record<string, number> = {};
  let opType = '';
  for (const { field, bytes } of fieldsOf(message)) {
    if (field === 1) inputs.push(text(bytes));
    if (field === 2) outputs.push(text(bytes));
    if (field === 4) opType = text(bytes);
    if (field === 5) {
      for (const part of fieldsOf(bytes)) {
        if (part.field === 3) ints[textField(fieldsOf, bytes, 1)] = Number(BigInt.asIntN(64, part.varint));
      }
    }
  }
  return { opType, inputs, outputs, ints };
}

function decodeTensor(fieldsOf: FieldsOf, message: Uint8Array): OnnxTensor {
  const dims: number[] = [];
  let name = '';
  let type = 0n;
  let raw: Uint8Array | undefined;
  for (const { field, varint, bytes } of fieldsOf(message)) {
    if (field === 1) dims.push(Number(varint));
    if (field === 2) type = varint;
    if (field === 8) name = text(bytes);
    if (field === 9) raw = bytes;
  }
  const size = dims.reduce((product, dim) => product * dim, 1);
  if (type !== BigInt(ONNX_FLOAT) || raw?.length !== size * 4) {
    throw new TldrError(
      'INVALID_DATA',
      `tensor "${name}" of type ${type} holds ${raw?.length ?? 0} bytes: expected ${size} float32 values`,
    );
  }
  return { name, dims, data: new Float32Array(new Uint8Array(raw).buffer) };
}

function decodeValue(fieldsOf: FieldsOf, message: Uint8Array): OnnxValue {
  const dims: (number | string)[] = [];
  const inside = (bytes: Uint8Array, wanted: number): Uint8Array => {
    for (const { field, bytes: value } of fieldsOf(bytes)) if (field === wanted) return value;
    return new Uint8Array(0);
  };
  const shape = inside(inside(inside(message, 2), 1), 2);
  for (const { bytes } of fieldsOf(shape)) {
    for (const { field, varint, bytes: symbol } of fieldsOf(bytes)) {
      dims.push(field === 1 ? Number(varint) : text(symbol));
    }
  }
  return { name: textField(fieldsOf, message, 1), dims };
}
