import { serverVector } from '../hidden-vector.js';
import {
  holdsVectors,
  queryInstead,
  type LegacySearch,
  type ApiOperation,
  type Write,
} from '../operations.js';
import type { JsonNode } from '../json/scan-body.js';
import { asciiJson } from '../json/byte-edits.js';
import { fieldsOf, STRUCTURES, stringOf, valueOf } from './structures.js';
import { rewritePatch } from './update-collection.js';
import { rewriteRestLegacy } from './legacy.js';
import { applyChanges, rewriteQueries } from './query.js';
import { resultChanges, type RewriteContext } from './stage.js';
import { rewriteDeleteVectors, rewriteOperations, rewriteUpdateVectors, rewriteUpsert } from './write.js';

/** The endpoint of a rewritten body. */
export type BodyResult =
  | { readonly asQuery: false }
  /** The body became a request of the query endpoint. */
  | {
      readonly asQuery: true;
      readonly path: string;
      readonly answer: 'search' | 'search batch' | 'errors';
    };

const SAME = { asQuery: false } as const;

const WRITES: Readonly<Partial<Record<Write['name'], (root: JsonNode, rewriting: RewriteContext) => void>>> =
  {
    upsert: rewriteUpsert,
    update_vectors: rewriteUpdateVectors,
    delete_vectors: rewriteDeleteVectors,
    batch: rewriteOperations,
  };

/**
 * Returns the parts of a body that may change: `conditions` if only those on a hidden vector do. `none` is also
 * the answer for operations without a body.
 */
export function changingParts(operation: ApiOperation): 'all' | 'conditions' | 'none' {
  switch (operation.kind) {
    case 'query':
    case 'legacy':
    case 'points':
    case 'matrix':
    case 'update':
      return 'all';
    case 'write':
      return holdsVectors(operation) ? 'all' : 'conditions';
    case 'count':
    case 'facet':
    case 'filtered':
    case 'cluster':
      return 'conditions';
    default:
      return 'none';
  }
}

/** Rewrites a body in place, by the rules of its operation. @throws Refusal */
export function rewriteBody(operation: ApiOperation, root: JsonNode, rewriting: RewriteContext): BodyResult {
  switch (operation.kind) {
    case 'query':
      rewriteQueries(root, operation.form, rewriting);
      return SAME;
    case 'legacy':
      return rewriteLegacy(operation, root, rewriting);
    case 'write':
      WRITES[operation.name]?.(root, rewriting);
      return SAME;
    case 'update':
      rewritePatch(root, rewriting);
      return SAME;
    case 'matrix':
      rewriteMatrix(root, rewriting);
      return SAME;
    case 'points': {
      const fields = fieldsOf(root, STRUCTURES.read, rewriting.source);
      applyChanges(fields, resultChanges(fields, rewriting), rewriting);
      return SAME;
    }
    default:
      return SAME;
  }
}

function rewriteLegacy(search: LegacySearch, root: JsonNode, rewriting: RewriteContext): BodyResult {
  if (!rewriteRestLegacy(root, search, rewriting)) return SAME;
  const answer = ({ one: 'search', batch: 'search batch', groups: 'errors' } as const)[search.form];
  return { asQuery: true, path: queryInstead(search).path, answer };
}

function rewriteMatrix(root: JsonNode, { served, source }: RewriteContext): void {
  const using = valueOf(fieldsOf(root, STRUCTURES.matrix, source), 'using');
  const asked = using === undefined ? '' : stringOf(using, source);
  const known = serverVector(asked, served);
  if (using !== undefined && known !== asked) source.replace(using, asciiJson(known));
}
