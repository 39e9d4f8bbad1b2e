import { codeOf, isTldrError } from '../../core/errors.js';
import { RedirectError } from '../../core/masked-address-and-redirect.js';
import type { BodySize, ProxyFailure } from '../protocol.js';
import { NoRoom } from '../byte-budget.js';
import type { ProxyLimits } from '../proxy-options.js';
import { BodyTooLarge, BodyUnreadable, CodingUnsupported } from '../whole-body.js';

/** A failed request, in the form that the client reads. */
export interface Failed {
  readonly failure: ProxyFailure;
  readonly message: string;
  readonly size?: BodySize;
  /** Value of the header `retry-after`. */
  readonly retryAfter?: string;
  /** Whether the database failed, not the proxy or the client. */
  readonly upstream: boolean;
}

const TIMEOUTS = ['UND_ERR_HEADERS_TIMEOUT', 'UND_ERR_BODY_TIMEOUT', 'UND_ERR_CONNECT_TIMEOUT'];

/** Returns the failure that a thrown error means for the client. */
export function failureOf(error: unknown, limits: ProxyLimits): Failed {
  if (error instanceof BodyTooLarge)
    return { failure: 'too-large', message: error.message, size: error, upstream: false };
  if (error instanceof BodyUnreadable)
    return { failure: 'unreadable', message: error.message, upstream: false };
  if (error instanceof NoRoom) {
    const { message, retryAfter } = error;
    return { failure: 'unavailable', message, retryAfter, upstream: false };
  }
  if (error instanceof CodingUnsupported)
    return { failure: 'unsupported', message: error.message, upstream: false };
  if (error instanceof RedirectError)
    return { failure: 'redirected', message: error.message, upstream: true };
  // A mirrored write was not made, or its result cannot be read yet.
  if (isTldrError(error, 'UNAVAILABLE'))
    return { failure: 'unavailable', message: error.message, upstream: false };
  if (isTldrError(error, 'INVALID_ARGUMENT'))
    return { failure: 'unreadable', message: error.message, upstream: false };
  const code = codeOf(error);
  if (TIMEOUTS.includes(code)) {
    const message = `the database did not answer within ${limits.upstreamTimeoutMs} ms`;
    return { failure: 'timeout', message, upstream: true };
  }
  if (code === 'UND_ERR_INVALID_ARG' || code === 'UND_ERR_REQ_CONTENT_LENGTH_MISMATCH')
    return { failure: 'unreadable', message: 'the request cannot be sent on', upstream: false };
  // Errors of the connection, its name resolution, its certificate or its protocol.
  if (/^(UND_ERR_|E[A-Z]+|HPE_|CERT_|DEPTH_|SELF_|UNABLE_)/.test(code))
    return { failure: 'unavailable', message: 'the database does not answer', upstream: true };
  return { failure: 'internal', message: 'the proxy failed', upstream: false };
}
