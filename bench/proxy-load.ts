import { Pool } from 'undici';

/** One closed loop of clients: each sends its next request when the last was answered. */
export interface LoadRequest {
  readonly origin: string;
  readonly path: string;
  /** Bodies sent in turn. */
  readonly bodies: readonly string[];
  readonly connections: number;
  readonly seconds: number;
}

export interface LoadResult {
  readonly requests: number;
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

/** @throws when any request is not answered with status 200 */
export async function load({ origin, path, bodies, connections, seconds }: LoadRequest): Promise<LoadResult> {
  const pool = new Pool(origin, { connections });
  const latenciesMs: number[] = [];
  const startedAtMs = performance.now();
  const endAtMs = startedAtMs + seconds * 1000;
  let next = 0;
  const client = async (): Promise<void> => {
    while (performance.now() < endAtMs) {
      const sentAtMs = performance.now();
      const { statusCode, body } = await pool.request({
        path,
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: bodies[next++ % bodies.length] ?? '',
      });
      const text = await body.text();
      if (statusCode !== 200) throw new Error(`status ${statusCode}: ${text.slice(0, 200)}`);
      latenciesMs.push(performance.now() - sentAtMs);
    }
  };
  await Promise.all(Array.from({ length: connections }, client));
  const elapsed = (performance.now() - startedAtMs) / 1000;
  await pool.close();
  latenciesMs.sort((a, b) => a - b);
  const at = (share: number): number =>
    latenciesMs[Math.min(latenciesMs.length - 1, Math.floor(latenciesMs.length * share))] ?? NaN;
  const requests = latenciesMs.length;
  return { requests, perSecond: requests / elapsed, p50Ms: at(0.5), p99Ms: at(0.99) };
}
