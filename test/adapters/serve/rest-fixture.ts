import { restRewriter } from '../../../adapters/qdrant/serve/rest-rewriter.js';
import type { ServedCollection } from '../../../src/core/served-collection.js';
import type { Layout } from '../../../src/core/vector-store.js';
import type { RestRewriter } from '../../../src/core/wire.js';
import { changedCollections } from './collections-fixture.js';

/** A rewriter of the fixture's collections, each with some facts changed. */
export function fixtureRewriter(layout: Layout, facts: Partial<ServedCollection> = {}): RestRewriter {
  return restRewriter(changedCollections(layout, facts));
}
