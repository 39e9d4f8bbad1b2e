import { sleep } from '../../../src/core/run.js';
import type { Log } from '../../../src/core/run.js';
import { messageOf } from '../../../src/core/errors.js';
import { Rng } from '../../../src/core/rng.js';
import { CallError } from './call-error.js';

export interface RetryOptions {
  readonly attempts: number;
  readonly firstDelayMs: number;
  readonly longestDelayMs: number;
  /**
   * Longest that a call waits for its turn where a rate limit lets few through. Such refusals count as no attempts: of
   * several calls that wait one gets through at a time.
   */
  readonly turnMs: number;
}

export const DEFAULT_RETRY: RetryOptions = {
  attempts: 7,
  firstDelayMs: 200,
  longestDelayMs: 10_000,
  turnMs: 3_600_000,
};

/** No server may send a client away for longer than this. */
const ASKED_DELAY_MS_MAX = 120_000;

/** Jitter only spreads clients apart, so a seed per process is enough. */
const jitter = new Rng(process.pid);

/**
 * Calls again with exponential backoff and full jitter while the failure is worth it; a server's retry-after is
 * honoured up to two minutes, and a little more so that callers sent away together do not come back together.
 * `refused` is called whenever the server said that it has too much to do. Everything this adapter sends may be sent
 * twice: reads, and writes that set a state.
 */
export async function withRetry<T>(
  call: () => Promise<T>,
  options: RetryOptions,
  run: {
    readonly signal?: AbortSignal | undefined;
    readonly log?: Log | undefined;
    readonly refused?: (() => void) | undefined;
  } = {},
): Promise<T> {
  const startedAtMs = performance.now();
  for (let attempt = 1; ;) {
    try {
      return await call();
    } catch (error) {
      if (error instanceof CallError && error.retry.refused === true) run.refused?.();
      if (!(error instanceof CallError) || !error.retry.safe) throw error;
      const waitsForTurn = error.retry.tooEarly === true && performance.now() - startedAtMs < options.turnMs;
      if (!waitsForTurn && attempt >= options.attempts) throw error;
      const ceilingMs = Math.min(options.longestDelayMs, options.firstDelayMs * 2 ** (attempt - 1));
      const { afterMs } = error.retry;
      const delayMs =
        afterMs === undefined
          ? ceilingMs * (0.5 + 0.5 * jitter.uniform())
          : Math.min(ASKED_DELAY_MS_MAX, afterMs) * (1 + 0.1 * jitter.uniform());
      run.log?.('warn', `retrying in ${Math.round(delayMs)} ms (attempt ${attempt}): ${messageOf(error)}`);
      await sleep(delayMs, run.signal);
      if (!waitsForTurn) attempt++;
    }
  }
}
