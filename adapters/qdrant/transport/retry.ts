import { sleep } from '../../../src/core/run-options.js';
import type { Log } from '../../../src/core/run-options.js';
import { messageOf } from '../../../src/core/errors.js';
import { Rng } from '../../../src/core/rng.js';
import { CallError } from './call-error.js';

/** How often and how long a call is repeated if the server does not answer it, or refuses it for now. */
export interface RetryOptions {
  readonly attempts: number;
  readonly firstDelayMs: number;
  readonly longestDelayMs: number;
  /**
   * Longest time that a call waits for a rate limit. Refusals by a rate limit do not count as attempts, since
   * only one of several waiting calls gets through at a time.
   */
  readonly turnMs: number;
}

export const DEFAULT_RETRY: RetryOptions = {
  attempts: 7,
  firstDelayMs: 200,
  longestDelayMs: 10_000,
  turnMs: 3_600_000,
};

/** Longest delay that is accepted from a server's `retry-after`. */
const ASKED_DELAY_MS_MAX = 120_000;

/** Jitter only spreads clients apart, so a seed per process is enough. */
const jitter = new Rng(process.pid);

/**
 * Repeats a call with exponential backoff and jitter while its failure allows it, and returns its result. A
 * server's `retry-after` is honoured up to two minutes, plus up to a tenth, so that clients refused together
 * do not return together. `refused` is called whenever the server reports overload. Every request of this
 * adapter may be sent twice: all are reads, or writes that set a state.
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
