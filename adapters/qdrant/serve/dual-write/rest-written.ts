import type { WrittenVector } from './followable.js';
import type { JsonNode } from '../json/scan.js';
import type { ByteEdits } from '../json/byte-edits.js';
import { elementsOf, fieldsOf, STRUCTURES, UPDATE_KINDS, valueOf, type Structure } from '../rest/fields.js';
import type { AffectKind } from './rest-affected-points.js';

/**
 * Returns every dense vector that a body writes, without other kinds of vectors and forms that the server
 * does not know.
 * @throws Refusal for a body that the server would not accept
 */
export function restWrittenVectors(kind: AffectKind, root: JsonNode, source: ByteEdits): WrittenVector[] {
  switch (kind) {
    case 'upsert':
      return upserted(root, source);
    case 'update vectors': {
      const fields = fieldsOf(root, STRUCTURES.updateVectors, source);
      return ofPoints(valueOf(fields, 'points'), STRUCTURES.pointVectors, source);
    }
    case 'operations': {
      const operations = valueOf(fieldsOf(root, STRUCTURES.operations, source), 'operations');
      return elementsOf(operations, source).flatMap((operation) => {
        const kinds = fieldsOf(operation, UPDATE_KINDS, source);
        const [upsert, update] = [kinds.get('upsert'), kinds.get('update_vectors')];
        return [
          ...(upsert === undefined ? [] : restWrittenVectors('upsert', upsert.value, source)),
          ...(update === undefined ? [] : restWrittenVectors('update vectors', update.value, source)),
        ];
      });
    }
    default:
      return [];
  }
}

function upserted(root: JsonNode, source: ByteEdits): WrittenVector[] {
  const fields = fieldsOf(root, STRUCTURES.upsert, source);
  const written = ofPoints(valueOf(fields, 'points'), STRUCTURES.point, source);
  const batch = valueOf(fields, 'batch');
  const vectors =
    batch === undefined ? undefined : valueOf(fieldsOf(batch, STRUCTURES.batch, source), 'vectors');
  return vectors === undefined ? written : [...written, ...byName(vectors).flatMap(rowsOf)];
}

function ofPoints(points: JsonNode | undefined, structure: Structure, source: ByteEdits): WrittenVector[] {
  return elementsOf(points, source).flatMap((point) => {
    const vector = valueOf(fieldsOf(point, structure, source), 'vector');
    return vector === undefined ? [] : byName(vector).flatMap(denseOf);
  });
}

interface NamedNode {
  readonly name: string;
  readonly node: JsonNode;
}

/** Returns the value under each vector name. A value that is no object belongs to the default vector. */
function byName(node: JsonNode): readonly NamedNode[] {
  return node.kind === 'object'
    ? node.entries.map(({ key, value }) => ({ name: key, node: value }))
    : [{ name: '', node }];
}

function denseOf({ name, node }: NamedNode): WrittenVector[] {
  return node.kind === 'numbers' ? [{ name, values: node.values }] : [];
}

function rowsOf({ name, node }: NamedNode): WrittenVector[] {
  return node.kind === 'array' ? node.items.flatMap((item) => denseOf({ name, node: item })) : [];
}
