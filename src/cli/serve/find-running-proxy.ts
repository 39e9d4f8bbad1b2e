import * as v from 'valibot';
import type { Config } from '../../config/load.js';

/** Longest wait for a proxy on this machine or beside it. */
const ANSWER_MS = 1_000;
/** Addresses to listen on that stand for every address of the machine. */
const EVERYWHERE: readonly string[] = ['0.0.0.0', '::'];

const SERVED = v.object({
  collections: v.array(v.object({ names: v.array(v.string()), target: v.string(), encoder: v.string() })),
});

/** A proxy that serves a target. */
export interface RunningProxy {
  /** The names that its clients use. */
  readonly names: readonly string[];
  /** Host and port for its operators. */
  readonly operations: string;
}

/** Returns the proxy at the configured address for operators, if it serves this target with this encoder; otherwise null. */
export async function findRunningProxy(
  { listenOperations: { host, port } }: Config,
  { target, fingerprint }: { readonly target: string; readonly fingerprint: string },
): Promise<RunningProxy | null> {
  const near = EVERYWHERE.includes(host) ? '127.0.0.1' : host;
  const operations = `${near.includes(':') ? `[${near}]` : near}:${port}`;
  try {
    const answer = await fetch(`http://${operations}/served`, { signal: AbortSignal.timeout(ANSWER_MS) });
    const served = v.parse(SERVED, await answer.json());
    const found = served.collections.find(
      (one) => one.target === target && one.encoder !== '' && fingerprint.startsWith(one.encoder),
    );
    return found === undefined ? null : { names: found.names, operations };
  } catch {
    return null;
  }
}
