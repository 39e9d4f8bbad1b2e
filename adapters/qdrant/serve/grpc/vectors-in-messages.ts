import { ProtoMessage } from '../protobuf/message.js';
import { edited, type FieldEdit, type ProtoBuilder } from '../protobuf/builder.js';
import { unknownForm } from '../rules.js';

/**
 * The places of vectors in a message: all fields that lead to a vector and all fields without vectors. Newer
 * servers may know more fields. A message that uses one of these is refused, since it could hide a vector.
 */
export interface MessageShape {
  readonly name: string;
  /** Fields that occur at most once, with their content. */
  readonly one?: Readonly<Record<number, MessageShape | Leaf>>;
  readonly many?: Readonly<Record<number, MessageShape | Leaf>>;
  /** Fields without vectors. */
  readonly plain?: readonly number[];
}

/** The message type of a vector: VectorInput, VectorExample, or Vector. */
export type Leaf = 'input' | 'example' | 'vector';

const pair = (leaf: Leaf): MessageShape => ({ name: 'context pair', one: { 1: leaf, 2: leaf } });
const CONTEXT: MessageShape = { name: 'context', many: { 1: pair('input') } };

/** Query's variants that compare with vectors or ids: nearest 1, recommend 2, discover 3, context 4, with mmr 9, feedback 11. */
export const SIMILARITY: Readonly<Record<number, MessageShape | Leaf>> = {
  1: 'input',
  2: { name: 'recommend', many: { 1: 'input', 2: 'input' }, plain: [3] },
  3: { name: 'discover', one: { 1: 'input', 2: CONTEXT } },
  4: CONTEXT,
  9: { name: 'nearest with mmr', one: { 1: 'input' }, plain: [2] },
  11: {
    name: 'relevance feedback',
    one: { 1: 'input' },
    many: { 2: { name: 'feedback item', one: { 1: 'input' }, plain: [2] } },
    plain: [3],
  },
};

/** Query's other variants: order_by 5, fusion 6, sample 7, formula 8, rrf 10. */
export const OTHER_QUERIES: readonly number[] = [5, 6, 7, 8, 10];

/** The edit of a vector by its message type. */
export type LeafEdits = Readonly<Partial<Record<Leaf, FieldEdit>>>;

/**
 * Returns a message with edited vectors.
 * @throws Malformed, Refusal for a field that the shape does not name
 */
export function editVectors(bytes: Uint8Array, shape: MessageShape, edits: LeafEdits): ProtoBuilder {
  const message = new ProtoMessage(bytes);
  const { name, one = {}, many = {}, plain = [] } = shape;
  for (const { field } of message.spans)
    if (!(field in one) && !(field in many) && !plain.includes(field)) throw unknownForm(name);
  for (const field of Object.keys(one)) message.bytes(Number(field));
  const changes = Object.entries({ ...one, ...many }).map(([field, inner]): [number, FieldEdit] => [
    Number(field),
    editOf(inner, edits),
  ]);
  return edited(message, new Map(changes));
}

function editOf(inner: MessageShape | Leaf, edits: LeafEdits): FieldEdit {
  if (typeof inner !== 'string') return (value) => editVectors(value, inner, edits);
  return edits[inner] ?? ((value) => value);
}
