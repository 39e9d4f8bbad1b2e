import { sleep } from '../../src/core/run.js';
import type { Log } from '../../src/core/run.js';
import { messageOf } from '../../src/core/errors.js';
import { Rng } from '../../src/core/rng.js';
import { CallError } from './errors.js';

export interface RetryOptions {
  readonly attempts: number;
  readonly firstDelayMs: number;
  readonly longestDelayMs: number;
}

export const DEFAULT_RETRY: RetryOptions = { attempts: 7, firstDelayMs: 200, longestDelayMs: 10_000 };

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
  for (let attempt = 1; ; attempt++) {
    try {
      return await call();
    } catch (error) {
      if (error instanceof CallError && error.retry.refused === true) run.refused?.();
      if (!(error instanceof CallError) || !error.retry.safe || attempt >= options.attempts) throw error;
      const ceilingMs = Math.min(options.longestDelayMs, options.firstDelayMs * 2 ** (attempt - 1));
      const { afterMs } = error.retry;
      const delayMs =
        afterMs === undefined
          ? ceilingMs * (0.5 + 0.5 * jitter.uniform())
          : Math.min(ASKED_DELAY_MS_MAX, afterMs) * (1 + 0.1 * jitter.uniform());
      run.log?.('warn', `retrying in ${Math.round(delayMs)} ms (attempt ${attempt}): ${messageOf(error)}`);
      await sleep(delayMs, run.signal);
    }
  }
}
