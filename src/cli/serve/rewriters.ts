import { callOn, grpcChanges, grpcRewriter, restChanges, restRewriter, searchOn } from '../adapters.js';
import type { MirroredCollection, MirroredFacts } from '../../store/write-guard.js';
import type { ServedCollection, ServedFacts } from '../../store/served.js';
import type { Rewriters } from '../../serve/proxy-options.js';
import { RewriteThreads } from '../../serve/rewrite-threads.js';
import { RewriterPool } from '../../serve/rewriter-pool.js';
import type { ShadowOptions } from '../../serve/shadow.js';
import type { ProxyState } from '../../serve/run/start-proxy.js';
import type { LoadedCollection } from './collections.js';

/** Bodies from here on are rewritten in a thread: smaller ones take less than a millisecond or two. */
const WORKER_BYTES_MIN = 128 * 1024;

/** What a rewriting thread is given. */
export interface RewriteWorkerData {
  readonly served: readonly { readonly facts: ServedFacts; readonly encoder: Uint8Array }[];
  readonly followed: readonly { readonly facts: MirroredFacts; readonly encoder: Uint8Array }[];
}

export interface StateOptions {
  readonly threads: number;
  readonly shadowShare: number;
  readonly seed: number;
  /** Collections whose writes are followed. */
  readonly followed: readonly LoadedFollowed[];
}

/** A followed collection and the file of its encoder. */
export interface LoadedFollowed {
  readonly followed: MirroredCollection;
  readonly encoder: Uint8Array;
}

/** How requests are rewritten, and which of them are followed, for these collections. */
export function rewritersOf(
  served: readonly ServedCollection[],
  followed: readonly MirroredCollection[],
): Rewriters {
  return {
    ...{ rest: restRewriter(served), grpc: grpcRewriter(served) },
    ...(followed.length > 0 && { changes: { rest: restChanges(followed), grpc: grpcChanges(followed) } }),
  };
}

/** What the proxy does for these collections. */
export function proxyState(
  loaded: readonly LoadedCollection[],
  { threads, shadowShare, seed, followed }: StateOptions,
): ProxyState {
  const collections = loaded.map(({ served }) => served);
  const rewriters = rewritersOf(
    collections,
    followed.map((one) => one.followed),
  );
  // A projector has methods, which no thread can be sent; it makes its own from the file.
  const data: RewriteWorkerData = {
    served: loaded.map(({ served, encoder }) => ({ facts: { ...served, projector: undefined }, encoder })),
    followed: followed.map((one) => ({
      facts: { ...one.followed, projector: undefined },
      encoder: one.encoder,
    })),
  };
  const pool = new RewriteThreads({
    ...{ data, size: threads },
    file: new URL('./rewrite-worker.js', import.meta.url),
  });
  return {
    rewriting: new RewriterPool(rewriters, pool, WORKER_BYTES_MIN),
    shadow: shadowOf(loaded, { share: shadowShare, seed }),
  };
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
    ...{ share, seed },
    repeatAt: (url) => {
      const place = searchOn(url, full);
      return place === null ? null : { url: place.url, collection: first.get(place.name) ?? place.name };
    },
    repeatCall: (call) => {
      const place = callOn(call, full);
      return place === null ? null : { call: place.call, collection: first.get(place.name) ?? place.name };
    },
  };
}
