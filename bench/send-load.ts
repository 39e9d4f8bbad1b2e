import { Pool } from 'undici';
import { Rng } from '../src/core/rng.js';
import { sleep } from '../src/core/run-options.js';

/** How requests follow one another. */
export interface Pace {
  /** Closed loop: clients, each of which sends its next request when the last was answered. Open: the most under way. */
  readonly connections: number;
  /** Open loop: sent at random moments, so many on average, whether others were answered or not. */
  readonly perSecond?: number | undefined;
}

export interface LoadRequest extends Pace {
  readonly origin: string;
  readonly path: string;
  /** Bodies sent in turn. */
  readonly bodies: readonly string[];
  /** Sent like the rest, but not measured. */
  readonly warmupSeconds: number;
  readonly seconds: number;
  /** Of the moments at which an open loop sends: with the same seed the same. */
  readonly seed: number;
}

/** Latencies of an open loop count from when a request was due. */
export interface LoadResult {
  /** With those of the warm-up. */
  readonly sent: number;
  /** That were due after the warm-up. */
  readonly requests: number;
  readonly perSecond: number;
  /** Every one, for percentiles over several processes or rounds. */
  readonly latenciesMs: readonly number[];
}

/** @throws when any request is not answered with status 200 */
export async function load(request: LoadRequest): Promise<LoadResult> {
  const { origin, path, bodies, connections, perSecond, warmupSeconds, seconds, seed } = request;
  const pool = new Pool(origin, { connections });
  const latenciesMs: number[] = [];
  const sent = bodies.map((body) => Buffer.from(body));
  const measuredFromMs = performance.now() + warmupSeconds * 1000;
  let next = 0;
  const send = async (dueAtMs: number): Promise<void> => {
    const { statusCode, body } = await pool.request({
      path,
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: sent[next++ % sent.length] ?? null,
    });
    const text = await body.text();
    if (statusCode !== 200) throw new Error(`status ${statusCode}: ${text.slice(0, 200)}`);
    if (dueAtMs >= measuredFromMs) latenciesMs.push(performance.now() - dueAtMs);
  };
  if (perSecond === undefined) await inLoops(connections, warmupSeconds + seconds, send);
  else await atRate({ perSecond, seed, seconds: warmupSeconds + seconds }, send);
  const elapsed = (performance.now() - measuredFromMs) / 1000;
  await pool.close();
  return {
    sent: next,
    requests: latenciesMs.length,
    perSecond: latenciesMs.length / elapsed,
    latenciesMs,
  };
}

type Send = (dueAtMs: number) => Promise<void>;

async function inLoops(clients: number, seconds: number, send: Send): Promise<void> {
  const endAtMs = performance.now() + seconds * 1000;
  const client = async (): Promise<void> => {
    while (performance.now() < endAtMs) await send(performance.now());
  };
  await Promise.all(Array.from({ length: clients }, client));
}

/** Intervals are exponential, as between clients who know nothing of each other. */
async function atRate(
  {
    perSecond,
    seconds,
    seed,
  }: { readonly perSecond: number; readonly seconds: number; readonly seed: number },
  send: Send,
): Promise<void> {
  const rng = new Rng(seed);
  const sent: Promise<void>[] = [];
  const startedAtMs = performance.now();
  const endAtMs = startedAtMs + seconds * 1000;
  for (let dueAtMs = startedAtMs; dueAtMs < endAtMs;) {
    for (let waitMs = dueAtMs - performance.now(); waitMs > 0; waitMs = dueAtMs - performance.now())
      await sleep(waitMs);
    sent.push(send(dueAtMs));
    dueAtMs += (-Math.log(1 - rng.uniform()) * 1000) / perSecond;
  }
  await Promise.all(sent);
}
