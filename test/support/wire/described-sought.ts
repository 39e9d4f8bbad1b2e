import { ScalarType, type DescField } from '@bufbuild/protobuf';
import type { Described } from './rest-description.js';
import type { Json, Sought } from './rest-bodies-with.js';

/** A full vector of a served collection, by values that no projection of it has. */
export const FULL_VECTOR = [0.1234567, 0.2345678, 0.3456789, 0.4567891];
/** A name for the hidden vector that nothing else has. */
export const HIDDEN_NAME = 'hidden-7';

/** Lists of numbers that are no vectors. */
const REST_LISTS = [
  'Rrf.weights',
  'SparseVector.indices',
  'AnyVariants.',
  'AnyVariants.[number]',
  'CreateShardingKey.placement',
];
const GRPC_LISTS = ['Rrf.weights'];

const PLAIN: Readonly<Record<string, Json>> = {
  VectorInput: 1,
  ExtendedPointId: 1,
  VectorStruct: {},
  BatchVectorStruct: [],
  Vector: [],
  SparseVector: { indices: [0, 1, 2, 3], values: FULL_VECTOR },
};

/** Seeks every list of numbers of the REST description that may be a vector. */
export const REST_VECTORS: Sought = {
  leaf: (type: Described, schema, field) =>
    type.kind === 'list' && type.of.kind === 'number' && !REST_LISTS.includes(`${schema}.${field}`)
      ? FULL_VECTOR
      : undefined,
  plain: PLAIN,
};

/** Seeks every vector's name in a condition of the REST description. */
export const REST_NAMES: Sought = {
  leaf: (_, schema, field) =>
    schema === 'HasVectorCondition' && field === 'has_vector' ? HIDDEN_NAME : undefined,
  plain: PLAIN,
};

/** Returns a full vector for every list of floats of the gRPC description that may be a vector. */
export function grpcVectors(field: DescField): unknown {
  const isFloats =
    field.fieldKind === 'list' && field.listKind === 'scalar' && field.scalar === ScalarType.FLOAT;
  return isFloats && !GRPC_LISTS.includes(`${field.parent.name}.${field.name}`) ? FULL_VECTOR : undefined;
}

/** Returns the hidden name for every vector's name in a condition of the gRPC description. */
export function grpcNames({ parent, name }: DescField): unknown {
  return parent.name === 'HasVectorCondition' && name === 'has_vector' ? HIDDEN_NAME : undefined;
}
