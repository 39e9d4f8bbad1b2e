import { workerData } from 'node:worker_threads';
import { Encoder } from '../../encoder/model.js';
import { answerRewrites } from '../../serve/rewrite-threads.js';
import { rewritersOf, type RewriteWorkerData } from './rewriters.js';

/** The thread that rewrites large request bodies, for one state of the configuration. */
const { served, mirrored } = workerData as RewriteWorkerData;
const withEncoder = <Facts extends object>(one: {
  readonly facts: Facts;
  readonly encoder: Uint8Array;
}): Facts & { readonly projector: Encoder } => ({
  ...one.facts,
  projector: Encoder.fromBytes(one.encoder),
});
answerRewrites(rewritersOf(served.map(withEncoder), mirrored.map(withEncoder)));
