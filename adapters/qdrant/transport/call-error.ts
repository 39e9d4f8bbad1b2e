import { type ErrorCode, type Hint, TldrError } from '../../../src/core/errors.js';

/**
 * Whether and when to repeat a failed call. `afterMs`: delay that the server named. `refused`: the server is
 * overloaded.
 */
interface Retry {
  readonly safe: boolean;
  readonly afterMs?: number;
  readonly refused?: boolean;
  /** Refused by a rate limit that will let the call through later. */
  readonly tooEarly?: boolean;
}

/** A failed call, and whether it may be repeated. */
export class CallError extends TldrError {
  constructor(
    code: ErrorCode,
    message: string,
    readonly retry: Retry,
    details: { readonly cause?: unknown; readonly hint?: Hint } = {},
  ) {
    super(code, message, details);
  }
}
