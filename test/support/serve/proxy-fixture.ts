import { restFailure } from '../../../adapters/qdrant/serve/rest/failure.js';
import { grpcRewriter } from '../../../adapters/qdrant/serve/rewriters/grpc.js';
import { restRewriter } from '../../../adapters/qdrant/serve/rewriters/rest.js';
import type { Log } from '../../../src/core/run-options.js';
import type { ServedCollection } from '../../../src/store/served.js';
import type { WriteInterceptor } from '../../../src/store/write-interceptor.js';
import type { ProxyLimits, Rewriters } from '../../../src/serve/proxy-options.js';
import { RewriterPool } from '../../../src/serve/rewriter-pool.js';
import type { ShadowOptions } from '../../../src/serve/shadow.js';
import { startProxy, type Proxy } from '../../../src/serve/run/start-proxy.js';
import { COMPACT_DIM, DIM, tinyEncoder } from '../migrate/fixtures.js';

const ANY_PORT = { host: '127.0.0.1', port: 0 };

export interface TestProxy {
  readonly proxy: Proxy;
  readonly url: string;
  readonly grpcUrl: string;
}

export interface TestProxyOptions {
  readonly url: string;
  readonly grpcUrl: string;
  readonly limits?: Partial<ProxyLimits>;
  readonly rewriters?: Rewriters;
  readonly log?: Log;
  readonly shadow?: ShadowOptions;
  readonly guard?: WriteInterceptor;
}

/** A collection served under another name than its target's; whether it exists is another matter. */
export const SERVED: ServedCollection = {
  names: ['served'],
  target: 'served_c4',
  layout: 'compact',
  vector: '',
  compact: '',
  distance: 'cosine',
  inputDim: DIM,
  outputDim: COMPACT_DIM,
  componentBytes: 4,
  visibleVectors: [''],
  oversampling: 10,
  candidatesMax: Number.POSITIVE_INFINITY,
  allowsExact: true,
  scoreThreshold: 'pass',
  vectorAnswers: 'refuse',
  projector: tinyEncoder(),
};

/** The proxy on free ports in this process, with one served collection unless told otherwise. */
export async function startTestProxy(options: TestProxyOptions): Promise<TestProxy> {
  const { url, grpcUrl, limits = {}, log, guard } = options;
  const rewriters = options.rewriters ?? { rest: restRewriter([SERVED]), grpc: grpcRewriter([SERVED]) };
  const proxy = await startProxy(
    {
      upstream: { restUrl: url, grpcUrl, readyPath: '/readyz' },
      limits,
      rest: ANY_PORT,
      grpc: ANY_PORT,
      failure: restFailure,
      log,
      guard,
    },
    {
      rewriting: new RewriterPool(rewriters, null, Number.POSITIVE_INFINITY),
      shadow: options.shadow ?? null,
      comparisons: new Map(),
    },
    { onDeleted: () => undefined, onUpdated: () => Promise.resolve() },
  );
  return {
    proxy,
    url: `http://127.0.0.1:${proxy.rest.port}`,
    grpcUrl: `http://127.0.0.1:${proxy.grpc.port}`,
  };
}
