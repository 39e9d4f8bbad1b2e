import { serverVector } from '../hidden-vector.js';
import type { JsonNode } from '../json/scan.js';
import { asciiJson } from '../json/byte-edits.js';
import { fieldsOf, STRUCTURES, stringOf, valueOf } from './fields.js';
import { rewritePatch } from './patch.js';
import { rewriteRestLegacy, rewriteLegacyBatch } from './legacy.js';
import { applyChanges, rewriteQuery, rewriteQueryBatch } from './query.js';
import type { BodyKind } from './routes.js';
import { resultChanges, type RewriteContext } from './stage.js';
import { rewriteDeleteVectors, rewriteOperations, rewriteUpdateVectors, rewriteUpsert } from './write.js';

/** The endpoint of a rewritten body. */
export type BodyResult =
  | { readonly asQuery: false }
  /** The body became a request of the query endpoint. */
  | { readonly asQuery: true; readonly answer: 'search' | 'search batch' | 'errors' };

type Rewrite = (root: JsonNode, rewriting: RewriteContext) => BodyResult;

const SAME = { asQuery: false } as const;

function changed(rewrite: (root: JsonNode, rewriting: RewriteContext) => void): Rewrite {
  return (root, rewriting) => {
    rewrite(root, rewriting);
    return SAME;
  };
}

function legacy(kind: 'search' | 'recommend' | 'discover', form: 'one' | 'batch' | 'groups'): Rewrite {
  return (root, rewriting) => {
    const asQuery =
      form === 'batch'
        ? rewriteLegacyBatch(root, rewriting, kind)
        : rewriteRestLegacy(root, rewriting, { kind, grouped: form === 'groups' });
    if (!asQuery) return SAME;
    return { asQuery, answer: ({ one: 'search', batch: 'search batch', groups: 'errors' } as const)[form] };
  };
}

const REWRITES: Readonly<Record<BodyKind, Rewrite>> = {
  query: changed(rewriteQuery),
  'query batch': changed(rewriteQueryBatch),
  'query groups': changed((root, rewriting) => rewriteQuery(root, rewriting, { grouped: true })),
  search: legacy('search', 'one'),
  'search batch': legacy('search', 'batch'),
  'search groups': legacy('search', 'groups'),
  recommend: legacy('recommend', 'one'),
  'recommend batch': legacy('recommend', 'batch'),
  'recommend groups': legacy('recommend', 'groups'),
  discover: legacy('discover', 'one'),
  'discover batch': legacy('discover', 'batch'),
  matrix: changed((root, { served, source }) => {
    const using = valueOf(fieldsOf(root, STRUCTURES.matrix, source), 'using');
    const asked = using === undefined ? '' : stringOf(using, source);
    const known = serverVector(asked, served);
    if (using !== undefined && known !== asked) source.replace(using, asciiJson(known));
  }),
  read: changed((root, rewriting) => {
    const fields = fieldsOf(root, STRUCTURES.read, rewriting.source);
    applyChanges(fields, resultChanges(fields, rewriting), rewriting);
  }),
  upsert: changed(rewriteUpsert),
  'update vectors': changed(rewriteUpdateVectors),
  'delete vectors': changed(rewriteDeleteVectors),
  operations: changed(rewriteOperations),
  patch: changed(rewritePatch),
};

/** Rewrites a body in place, by the rules of its endpoint. @throws Refusal */
export function rewriteBody(kind: BodyKind, root: JsonNode, rewriting: RewriteContext): BodyResult {
  return REWRITES[kind](root, rewriting);
}
