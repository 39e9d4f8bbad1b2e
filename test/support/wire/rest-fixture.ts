import { restRewriter } from '../../../adapters/qdrant/serve/rewriters/rest.js';
import type { ServedCollection } from '../../../src/store/served.js';
import type { Layout } from '../../../src/store/collection.js';
import type { RestRewriter } from '../../../src/serve/protocol.js';
import { changedCollections } from './collections-fixture.js';

/** A rewriter of the fixture's collections, each with some facts changed. */
export function fixtureRewriter(layout: Layout, facts: Partial<ServedCollection> = {}): RestRewriter {
  return restRewriter(changedCollections(layout, facts));
}
