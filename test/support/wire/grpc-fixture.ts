import { grpcRewriter } from '../../../adapters/qdrant/serve/rewriters/grpc.js';
import type { ServedCollection } from '../../../src/store/served.js';
import type { Layout } from '../../../src/store/collection.js';
import type { GrpcRewriter } from '../../../src/serve/protocol.js';
import { changedCollections } from './collections-fixture.js';

/** A rewriter of the fixture's collections, each with some facts changed. */
export function fixtureRewriter(layout: Layout, facts: Partial<ServedCollection> = {}): GrpcRewriter {
  return grpcRewriter(changedCollections(layout, facts));
}
