import {
  readdressedCall,
  grpcChanges,
  grpcRewriter,
  restChanges,
  restRewriter,
  readdressedUrl,
} from '../proxy-adapter.js';
import type { MirroredCollection, MirroredFacts } from '../../store/write-interceptor.js';
import type { ServedCollection, ServedFacts } from '../../store/served.js';
import type { SampleComparison } from '../../serve/drift-meter.js';
import type { Rewriters } from '../../serve/proxy-options.js';
import { RewriteThreads } from '../../serve/rewrite-threads.js';
import { RewriterPool } from '../../serve/rewriter-pool.js';
import type { ShadowOptions } from '../../serve/shadow.js';
import type { ProxyState } from '../../serve/run/start-proxy.js';
import type { LoadedCollection } from './load-collections.js';

/** Bodies of this size or more are rewritten in a thread: smaller ones take a millisecond or two at most. */
const WORKER_BYTES_MIN = 128 * 1024;

/** The data that a rewriting thread starts with. */
export interface RewriteWorkerData {
  readonly served: readonly { readonly facts: ServedFacts; readonly encoder: Uint8Array }[];
  readonly mirrored: readonly { readonly facts: MirroredFacts; readonly encoder: Uint8Array }[];
}

export interface StateOptions {
  readonly threads: number;
  readonly shadowShare: number;
  readonly seed: number;
  /** Collections whose writes are brought over to a target. */
  readonly mirrored: readonly LoadedMirrored[];
}

/** A mirrored collection and the content of its encoder file. */
export interface LoadedMirrored {
  readonly mirrored: MirroredCollection;
  readonly encoder: Uint8Array;
}

/** Returns the rewriters of requests to these collections, and the finders of changes to mirrored ones. */
export function rewritersOf(
  served: readonly ServedCollection[],
  mirrored: readonly MirroredCollection[],
): Rewriters {
  return {
    rest: restRewriter(served),
    grpc: grpcRewriter(served),
    ...(mirrored.length > 0 && { changes: { rest: restChanges(mirrored), grpc: grpcChanges(mirrored) } }),
  };
}

/** Returns the state with which the proxy serves these collections. */
export function proxyState(
  loaded: readonly LoadedCollection[],
  { threads, shadowShare, seed, mirrored }: StateOptions,
): ProxyState {
  const collections = loaded.map(({ served }) => served);
  const rewriters = rewritersOf(
    collections,
    mirrored.map((one) => one.mirrored),
  );
  // A projector has methods, which cannot be sent to a thread: each thread makes its own from the file.
  const data: RewriteWorkerData = {
    served: loaded.map(({ served, encoder }) => ({ facts: { ...served, projector: undefined }, encoder })),
    mirrored: mirrored.map((one) => ({
      facts: { ...one.mirrored, projector: undefined },
      encoder: one.encoder,
    })),
  };
  const pool = new RewriteThreads({
    data,
    size: threads,
    file: new URL('./rewrite-worker.js', import.meta.url),
  });
  return {
    rewriting: new RewriterPool(rewriters, pool, WORKER_BYTES_MIN),
    shadow: shadowOf(loaded, { share: shadowShare, seed }),
    comparisons: comparisonsOf(loaded),
  };
}

function comparisonsOf(loaded: readonly LoadedCollection[]): ReadonlyMap<string, SampleComparison> {
  return new Map(
    loaded.flatMap(({ served: { names, target }, comparison }) =>
      comparison === null ? [] : [[names[0] ?? target, comparison] as const],
    ),
  );
}

function shadowOf(
  loaded: readonly LoadedCollection[],
  { share, seed }: Pick<ShadowOptions, 'share' | 'seed'>,
): ShadowOptions | null {
  const full = new Map<string, string>();
  const first = new Map<string, string>();
  for (const { served, full: other } of loaded) {
    if (other === undefined) continue;
    for (const name of served.names) {
      full.set(name, other);
      first.set(name, served.names[0] ?? name);
    }
  }
  if (share === 0 || full.size === 0) return null;
  return {
    share,
    seed,
    repeatAt: (url) => {
      const place = readdressedUrl(url, full);
      return place === null ? null : { url: place.url, collection: first.get(place.name) ?? place.name };
    },
    repeatCall: (call) => {
      const place = readdressedCall(call, full);
      return place === null ? null : { call: place.call, collection: first.get(place.name) ?? place.name };
    },
  };
}
