import type { JsonNode, JsonNumbersNode, JsonObjectNode } from '../json/scan-body.js';
import { asciiJson, type Chunk } from '../json/byte-edits.js';
import {
  badBody,
  elementsOf,
  entryOf,
  fieldsOf,
  refuseDuplicates,
  STRUCTURES,
  stringOf,
  UPDATE_KINDS,
  valueOf,
  type Structure,
} from './structures.js';
import { renamedDeletions, serverVector } from '../hidden-vector.js';
import type { RewriteContext } from './stage.js';
import { refusedVector } from './vector-input.js';
import { inferenceRefused, unknownForm } from '../rules.js';

const BAD_VECTOR = 'data did not match any variant of untagged enum VectorStruct';
const BAD_BATCH = 'data did not match any variant of untagged enum BatchVectorStruct';

/** Rewrites an upsert of whole points. @throws Refusal */
export function rewriteUpsert(root: JsonNode, rewriting: RewriteContext): void {
  if (root.kind !== 'object') throw badBody('Invalid PointInsertOperations format');
  const fields = fieldsOf(root, STRUCTURES.upsert, rewriting.source);
  // The server uses one of them and ignores the other.
  if (fields.has('points') && fields.has('batch')) throw unknownForm('points and batch');
  rewritePoints(valueOf(fields, 'points'), STRUCTURES.point, rewriting);
  const batch = valueOf(fields, 'batch');
  if (batch === undefined) return;
  const vectors = fieldsOf(batch, STRUCTURES.batch, rewriting.source).get('vectors')?.value;
  if (vectors !== undefined) rewriteBatchVectors(vectors, rewriting);
}

/** Rewrites an update of vectors of existing points. @throws Refusal */
export function rewriteUpdateVectors(root: JsonNode, rewriting: RewriteContext): void {
  const fields = fieldsOf(root, STRUCTURES.updateVectors, rewriting.source);
  rewritePoints(valueOf(fields, 'points'), STRUCTURES.pointVectors, rewriting);
}

/** Rewrites the names of vectors to delete: the compact one is deleted with the full one. @throws Refusal */
export function rewriteDeleteVectors(root: JsonNode, { served, source }: RewriteContext): void {
  const fields = fieldsOf(root, STRUCTURES.deleteVectors, source);
  const names = elementsOf(valueOf(fields, 'vector'), source).map((node) => {
    return { node, name: stringOf(node, source) };
  });
  const rename = renamedDeletions(
    names.map(({ name }) => name),
    served,
  );
  for (const { node, name } of names) {
    const known = rename(name);
    if (known !== name) source.replace(node, asciiJson(known));
  }
  const full = names.find(({ name }) => rename(name) === served.vector);
  if (full !== undefined && served.layout === 'two-stage')
    source.insert(full.node.end, `,${asciiJson(served.compact)}`);
}

/** Rewrites several updates in one request. @throws Refusal */
export function rewriteOperations(root: JsonNode, rewriting: RewriteContext): void {
  const { source } = rewriting;
  const operations = elementsOf(valueOf(fieldsOf(root, STRUCTURES.operations, source), 'operations'), source);
  for (const operation of operations) {
    if (operation.kind !== 'object') throw unknownForm('operation');
    const kinds = [...fieldsOf(operation, UPDATE_KINDS, source)];
    const [first] = kinds;
    if (first === undefined) throw badBody('data did not match any variant of untagged enum UpdateOperation');
    if (kinds.length > 1) throw unknownForm('operation');
    const [kind, { value }] = first;
    if (kind === 'upsert') rewriteUpsert(value, rewriting);
    else if (kind === 'update_vectors') rewriteUpdateVectors(value, rewriting);
    else if (kind === 'delete_vectors') rewriteDeleteVectors(value, rewriting);
  }
}

function rewritePoints(points: JsonNode | undefined, structure: Structure, rewriting: RewriteContext): void {
  for (const point of elementsOf(points, rewriting.source)) {
    const vector = fieldsOf(point, structure, rewriting.source).get('vector')?.value;
    if (vector !== undefined) rewriteVectors(vector, rewriting);
  }
}

/** Rewrites the vectors of one point: the default one alone, or vectors by name. */
function rewriteVectors(node: JsonNode, rewriting: RewriteContext): void {
  const { served } = rewriting;
  if (node.kind === 'object') {
    const isInference = isText(node, 'model');
    if (isInference && (served.vector === '' || entryOf(node, served.vector) !== undefined))
      throw inferenceRefused(served);
    if (!isInference) rewriteNamed(node, rewriting, rewriteVector);
    return;
  }
  if (node.kind !== 'numbers' && node.kind !== 'array') throw badBody(BAD_VECTOR);
  if (served.vector !== '') return;
  if (node.kind === 'array') throw refusedVector(node, served);
  const texts = rewriteVector(node, rewriting);
  if (texts !== null) beside(node, texts, rewriting);
}

/** @returns the compact vector to add, or null if it already replaces the full one */
function rewriteVector(node: JsonNode, rewriting: RewriteContext): readonly Chunk[] | null {
  if (node.kind === 'numbers') return project(node, rewriting);
  if (node.kind === 'array' || node.kind === 'object')
    throw refusedVector(node, rewriting.served, rewriting.source);
  throw badBody(BAD_VECTOR);
}

/** Rewrites the vectors of many points: default ones, or lists by name. */
function rewriteBatchVectors(node: JsonNode, rewriting: RewriteContext): void {
  const { served } = rewriting;
  if (node.kind === 'object') {
    rewriteNamed(node, rewriting, rewriteVectorList);
    return;
  }
  if (node.kind !== 'array' && (node.kind !== 'numbers' || node.values.length > 0)) throw badBody(BAD_BATCH);
  if (served.vector !== '' || node.kind !== 'array') return;
  const texts = rewriteVectorList(node, rewriting);
  if (texts !== null) beside(node, texts, rewriting);
}

function rewriteVectorList(node: JsonNode, rewriting: RewriteContext): readonly Chunk[] | null {
  const texts: Chunk[] = [];
  for (const item of elementsOf(node, rewriting.source)) {
    if (item.kind === 'array' || item.kind === 'object') throw refusedVector(item, rewriting.served);
    if (item.kind !== 'numbers') throw badBody(BAD_BATCH);
    texts.push(texts.length === 0 ? '[' : ',', ...(project(item, rewriting) ?? []));
  }
  return rewriting.served.layout === 'compact' || texts.length === 0 ? null : [...texts, ']'];
}

function rewriteNamed(
  node: JsonObjectNode,
  rewriting: RewriteContext,
  rewrite: (value: JsonNode, rewriting: RewriteContext) => readonly Chunk[] | null,
): void {
  const { served, source } = rewriting;
  refuseDuplicates(node.entries);
  for (const { key, start, value } of node.entries) {
    const known = serverVector(key, served);
    if (known !== key) source.replace({ start, end: value.start }, `${asciiJson(known)}:`);
    if (key !== served.vector) continue;
    const texts = rewrite(value, rewriting);
    if (texts !== null) source.insert(value.end, `,${asciiJson(served.compact)}:`, texts);
  }
}

/** Turns a default vector, or a list of them, into an object with the compact one, both by name. */
function beside(node: JsonNode, texts: readonly Chunk[], { served, source }: RewriteContext): void {
  source.insert(node.start, '{"":');
  source.insert(node.end, `,${asciiJson(served.compact)}:`, texts, '}');
}

function project(node: JsonNumbersNode, { served, source, slots }: RewriteContext): readonly Chunk[] | null {
  const slot = slots.add(node.values);
  if (served.layout === 'two-stage') return [slot];
  source.replace(node, slot);
  return null;
}

function isText(node: JsonObjectNode, key: string): boolean {
  return entryOf(node, key)?.kind === 'string';
}
