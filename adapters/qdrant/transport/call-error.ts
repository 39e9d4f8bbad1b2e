import { TldrError, type ErrorCode } from '../../../src/core/errors.js';

/** What a failed call tells about itself: `afterMs` only when the server said so, `refused` where it has too much to do. */
interface Retry {
  readonly safe: boolean;
  readonly afterMs?: number;
  readonly refused?: boolean;
  /** Refused by a rate limit, which lets the call through in its time. */
  readonly tooEarly?: boolean;
}

/** A failed call, with what it tells about calling again. */
export class CallError extends TldrError {
  constructor(
    code: ErrorCode,
    message: string,
    readonly retry: Retry,
    cause?: unknown,
  ) {
    super(code, message, { cause });
  }
}
