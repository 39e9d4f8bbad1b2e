import type { Server as NetServer } from 'node:net';
import { TldrError } from '../../core/errors.js';
import { ByteBudget } from '../byte-budget.js';
import type { ServedEvents } from '../listener-dependencies.js';
import { createGrpcListener } from '../grpc/listener.js';
import { GrpcUpstream } from '../grpc/upstream.js';
import { DriftMeter, type SampleComparison } from '../drift-meter.js';
import { CrossOrigin } from '../rest/cross-origin.js';
import { Metrics } from '../metrics.js';
import type { KeptVectors } from '../kept-vectors.js';
import { DEFAULT_LIMITS, type ListenAddress, type ProxyOptions } from '../proxy-options.js';
import { createRestListener } from '../rest/listener.js';
import { RestUpstream } from '../rest/upstream.js';
import type { RewriterPool } from '../rewriter-pool.js';
import { Shadow, type ShadowOptions } from '../shadow.js';

const IDLE_CHECK_MS = 50;
const READY_TIMEOUT_MS = 2_000;

/** The part of the proxy that the configuration decides. A reload replaces it as a whole. */
export interface ProxyState {
  readonly rewriting: RewriterPool;
  readonly shadow: ShadowOptions | null;
  /** For collections whose encoder tells where its training sample lies, by their configured names. */
  readonly comparisons: ReadonlyMap<string, SampleComparison>;
}

/** A listening proxy. */
export interface Proxy {
  readonly rest: ListenAddress;
  readonly grpc: ListenAddress;
  readonly metrics: Metrics;
  /** Uses another state for new requests. Requests in progress keep theirs. */
  use(state: ProxyState): void;
  /** Returns whether the proxy takes requests and the database answers. */
  ready(): Promise<boolean>;
  /** Takes no more requests and waits for those in progress. Returns whether all of them ended in time. */
  drain(timeoutMs: number): Promise<boolean>;
  /** Stops at once. */
  close(): Promise<void>;
}

/**
 * Starts a proxy that listens for REST and gRPC.
 * @param events called when clients delete or change a served collection
 * @throws UNAVAILABLE when an address is taken or cannot be listened on
 */
export async function startProxy(
  options: ProxyOptions,
  first: ProxyState,
  events: ServedEvents,
): Promise<Proxy> {
  const limits = { ...DEFAULT_LIMITS, ...options.limits };
  const metrics = new Metrics();
  const budget = new ByteBudget(limits.bytesInFlightMax, () => metrics.roomRefused());
  metrics.showBytesInFlight(() => budget.bytes);
  const rest = new RestUpstream(options.upstream, limits);
  const grpc = new GrpcUpstream(options.upstream, limits);
  let { rewriting } = first;
  const meters = { metrics, drift: driftMeter(options, metrics) };
  let shadow = measuredBy(first, meters);
  let draining = false;
  const shared = {
    limits,
    budget,
    metrics,
    events,
    log: options.log,
    guard: options.guard,
    names: options.names,
    keep: keeperFor(options, meters.drift),
    rewriting: () => rewriting,
    shadow: () => shadow,
    draining: () => draining,
  };
  const restServer = createRestListener(
    { ...shared, upstream: rest, failure: options.failure, crossOrigin: new CrossOrigin() },
    options.tls,
  );
  const grpcFront = createGrpcListener({ ...shared, upstream: grpc }, options.tls);
  const servers = [restServer, grpcFront.server];
  const close = async (): Promise<void> => {
    draining = true;
    const closed = servers.map(closeServer);
    restServer.closeAllConnections();
    grpcFront.destroy();
    await Promise.all(closed);
    rewriting.retire();
    grpc.close();
    await Promise.all([meters.drift.close(), rest.close()]);
  };
  try {
    const restAddress = await listen(restServer, options.rest);
    const grpcAddress = await listen(grpcFront.server, options.grpc);
    return {
      rest: restAddress,
      grpc: grpcAddress,
      metrics,
      close,
      use: (state) => {
        rewriting.retire();
        rewriting = state.rewriting;
        shadow = measuredBy(state, meters);
      },
      ready: async () => !draining && (await rest.ready(READY_TIMEOUT_MS)),
      drain: async (timeoutMs) => {
        draining = true;
        const inTime = await endRequests(restServer, grpcFront, timeoutMs);
        await close();
        return inTime;
      },
    };
  } catch (error) {
    await close();
    throw error;
  }
}

function driftMeter({ onDrift }: ProxyOptions, metrics: Metrics): DriftMeter {
  return new DriftMeter((count) => {
    metrics.drift(count);
    onDrift?.(count);
  });
}

/** Compares later vectors as this state says, and returns its shadow searches. */
function measuredBy(
  { shadow, comparisons }: ProxyState,
  { drift, metrics }: { readonly drift: DriftMeter; readonly metrics: Metrics },
): Shadow | null {
  drift.use(comparisons);
  for (const collection of comparisons.keys())
    for (const as of ['points', 'queries'] as const) metrics.drift({ collection, as, compared: 0, far: 0 });
  return shadow === null ? null : new Shadow({ ...shadow, comparisons }, metrics);
}

function keeperFor({ record }: ProxyOptions, drift: DriftMeter): (kept: KeptVectors) => void {
  return ({ searched, compact }) => {
    if (searched !== undefined) record?.(searched);
    if (compact !== undefined) drift.add(compact);
  };
}

/** Accepts no more connections and waits for open requests. Returns whether all of them ended in time. */
async function endRequests(
  restServer: ReturnType<typeof createRestListener>,
  grpcFront: ReturnType<typeof createGrpcListener>,
  timeoutMs: number,
): Promise<boolean> {
  const closed = Promise.all([restServer, grpcFront.server].map(closeServer)).then(() => true);
  grpcFront.goAway();
  // A connection whose last answer was sent without `connection: close` soon becomes idle.
  const idle = setInterval(() => restServer.closeIdleConnections(), IDLE_CHECK_MS);
  const inTime = await Promise.race([closed, after(timeoutMs)]);
  clearInterval(idle);
  return inTime;
}

function after(ms: number): Promise<false> {
  return new Promise((resolve) => setTimeout(() => resolve(false), ms).unref());
}

function closeServer(server: NetServer): Promise<void> {
  return new Promise((resolve) => server.close(() => resolve()));
}

/**
 * Starts listening and returns the address.
 * @throws UNAVAILABLE when the address is taken or cannot be listened on
 */
export function listen(server: NetServer, { host, port }: ListenAddress): Promise<ListenAddress> {
  return new Promise((resolve, reject) => {
    // The listener stays: a connection that could not be accepted later must not end the process.
    server.on('error', (cause) =>
      reject(new TldrError('UNAVAILABLE', `cannot listen on ${host}:${port}: ${cause.message}`, { cause })),
    );
    server.listen(port, host, () => {
      const address = server.address();
      resolve({ host, port: typeof address === 'object' && address !== null ? address.port : port });
    });
  });
}
