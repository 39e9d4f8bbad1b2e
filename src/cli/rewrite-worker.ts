import { workerData } from 'node:worker_threads';
import { grpcRewriter } from '../../adapters/qdrant/serve/grpc-rewriter.js';
import { restRewriter } from '../../adapters/qdrant/serve/rest-rewriter.js';
import { Encoder } from '../core/encoder.js';
import { answerRewrites } from '../proxy/rewrite-pool.js';
import type { RewriteWorkerData } from './serve-state.js';

/** A thread that rewrites the large bodies of one state of the configuration. */
const collections = (workerData as RewriteWorkerData).map(({ facts, encoder }) => ({
  ...facts,
  projector: Encoder.fromBytes(encoder),
}));
answerRewrites({ rest: restRewriter(collections), grpc: grpcRewriter(collections) });
