import { workerData } from 'node:worker_threads';
import { Encoder } from '../core/encoder.js';
import { answerRewrites } from '../proxy/rewrite-pool.js';
import { rewritersOf, type RewriteWorkerData } from './serve-state.js';

/** A thread that rewrites the large bodies of one state of the configuration. */
const { served, followed } = workerData as RewriteWorkerData;
const collections = served.map(({ facts, encoder }) => ({ ...facts, projector: Encoder.fromBytes(encoder) }));
answerRewrites(rewritersOf(collections, followed));
