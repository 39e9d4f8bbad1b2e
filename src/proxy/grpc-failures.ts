import { isTldrError } from '../core/errors.js';
import { RedirectError } from '../core/redirect.js';
import { NoRoom } from './byte-budget.js';
import { NO_ANSWER } from './grpc-answer.js';
import { BodyTooLarge, BodyUnreadable, CodingUnsupported } from './whole-body.js';

/** Status codes of gRPC ("Status codes and their use in gRPC"). */
export const CODE = {
  invalid: 3,
  deadline: 4,
  notFound: 5,
  denied: 7,
  exhausted: 8,
  unimplemented: 12,
  internal: 13,
  unavailable: 14,
} as const;

/** A call that the database refused, made for the proxy itself. */
export class UpstreamStatus extends Error {
  constructor(
    readonly code: number,
    message: string,
    /** The metadata of that name. */
    readonly retryAfter?: string,
  ) {
    super(message);
  }
}

/** What went wrong with a call, as the client should read it. */
export interface CallFailure {
  readonly code: number;
  readonly message: string;
  readonly retryAfter?: string | undefined;
  /** Whether the database is to blame, or nobody but the proxy. */
  readonly blame: 'database' | 'proxy' | 'none';
}

/** Tells failures apart by what was thrown. */
export function callFailureOf(error: unknown): CallFailure {
  if (error instanceof BodyTooLarge) return { code: CODE.exhausted, message: error.message, blame: 'none' };
  if (error instanceof NoRoom)
    return {
      ...{ code: CODE.exhausted, message: error.message },
      ...{ retryAfter: error.retryAfter, blame: 'none' },
    };
  if (error instanceof BodyUnreadable) return { code: CODE.internal, message: error.message, blame: 'none' };
  if (error instanceof CodingUnsupported)
    return { code: CODE.unimplemented, message: error.message, blame: 'none' };
  if (error instanceof UpstreamStatus) {
    const blame = error.code === CODE.unavailable ? 'database' : 'none';
    return { code: error.code, message: error.message, retryAfter: error.retryAfter, blame };
  }
  if (error instanceof RedirectError)
    return { code: CODE.unavailable, message: error.message, blame: 'database' };
  if (isTldrError(error, 'UNAVAILABLE'))
    return { code: CODE.unavailable, message: error.message, blame: 'none' };
  if (isTldrError(error, 'INVALID_ARGUMENT'))
    return { code: CODE.invalid, message: error.message, blame: 'none' };
  if (typeof error === 'object' && error !== null && 'code' in error && !('fields' in error))
    return { code: CODE.unavailable, message: NO_ANSWER, blame: 'database' };
  return { code: CODE.internal, message: 'the proxy failed', blame: 'proxy' };
}
