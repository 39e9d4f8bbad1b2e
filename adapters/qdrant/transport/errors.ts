import {
  codeOf,
  type ErrorCode,
  type Hint,
  isTldrError,
  messageOf,
  type TldrError,
} from '../../../src/core/errors.js';
import { CallError } from './call-error.js';
import { strictRefusal } from './strict-mode-refusal.js';
import { webPageTitle } from './web-page.js';

/** Most characters of a server's answer that a message quotes. */
const QUOTE_MAX = 300;

/**
 * The server's text for a rate limit of strict mode. The call succeeds after the time that the server names.
 */
const TOO_EARLY = /Rate limiting exceeded/;

/** Returns the error for an HTTP status of Qdrant (actix helpers.rs). */
export function httpError(
  status: number,
  body: string,
  context: { call: string; retryAfter: string | null },
): CallError {
  const text = errorText(body);
  const { call, retryAfter } = context;
  const refusal = strictRefusal(text, call);
  if (refusal !== null) return refusal;
  const say = (code: ErrorCode, why: string, safe = false): CallError => {
    const afterMs = retryAfter === null ? Number.NaN : Number(retryAfter) * 1000;
    const refused = status === 429 || status === 503;
    const tooEarly = status === 429 && TOO_EARLY.test(text);
    const retry = Number.isFinite(afterMs)
      ? { safe, refused, tooEarly, afterMs }
      : { safe, refused, tooEarly };
    return new CallError(code, `${call}: HTTP ${status}: ${text}${why}`, retry, hintFor(code));
  };
  switch (status) {
    case 401:
      return say('UNAUTHORIZED', '');
    case 403:
      return say('FORBIDDEN', ' (the API key lacks the right for this call; global access is needed)');
    case 404:
      return say('NOT_FOUND', '');
    case 408:
      return say('TIMEOUT', '', true);
    case 409:
      return say('ALREADY_EXISTS', '');
    case 429:
      return say('UNAVAILABLE', '', true);
    case 400:
    case 413:
    case 422:
      return say(text.includes('already exists') ? 'ALREADY_EXISTS' : 'INVALID_ARGUMENT', '');
    default:
      return say('UNAVAILABLE', '', status === 502 || status === 503 || status === 504);
  }
}

/**
 * The meaning of a gRPC status (grpc/statuscodes.md): the code, and whether the same call may succeed later.
 */
interface StatusMeaning {
  readonly code: ErrorCode;
  readonly safe: boolean;
}

const GRPC_STATUSES: Readonly<Record<number, StatusMeaning>> = {
  1: { code: 'UNAVAILABLE', safe: false }, // CANCELLED
  2: { code: 'UNAVAILABLE', safe: false }, // UNKNOWN
  3: { code: 'INVALID_ARGUMENT', safe: false },
  4: { code: 'TIMEOUT', safe: true }, // DEADLINE_EXCEEDED
  5: { code: 'NOT_FOUND', safe: false },
  6: { code: 'ALREADY_EXISTS', safe: false },
  7: { code: 'FORBIDDEN', safe: false }, // PERMISSION_DENIED
  8: { code: 'UNAVAILABLE', safe: true }, // RESOURCE_EXHAUSTED
  9: { code: 'INVALID_ARGUMENT', safe: false }, // FAILED_PRECONDITION
  10: { code: 'UNAVAILABLE', safe: false }, // ABORTED
  11: { code: 'INVALID_ARGUMENT', safe: false }, // OUT_OF_RANGE: a message larger than the server takes
  12: { code: 'UNSUPPORTED', safe: false }, // UNIMPLEMENTED
  13: { code: 'UNAVAILABLE', safe: false }, // INTERNAL
  14: { code: 'UNAVAILABLE', safe: true },
  15: { code: 'UNAVAILABLE', safe: false }, // DATA_LOSS
  16: { code: 'UNAUTHORIZED', safe: false }, // UNAUTHENTICATED
};
const UNKNOWN_STATUS: StatusMeaning = { code: 'UNAVAILABLE', safe: false };
/** The server also answers INTERNAL to a message that it cannot decode. Repeating such a call is useless. */
const UNREADABLE = /failed to decode/i;

/** Returns the error for a call that ended with a gRPC status. */
export function grpcError(
  status: number,
  message: string,
  context: { call: string; retryAfter: string | undefined },
): CallError {
  const refusal = strictRefusal(message.slice(0, QUOTE_MAX), context.call);
  if (refusal !== null) return refusal;
  const meaning = GRPC_STATUSES[status] ?? UNKNOWN_STATUS;
  const { safe } = meaning;
  const unreadable = status === 13 && UNREADABLE.test(message);
  const code = unreadable ? 'INVALID_ARGUMENT' : meaning.code;
  const afterMs = Number(context.retryAfter) * 1000;
  const asked = context.retryAfter !== undefined && Number.isFinite(afterMs);
  const refused = status === 8 || asked;
  const tooEarly = status === 8 && TOO_EARLY.test(message);
  const retry = asked ? { safe, refused, tooEarly, afterMs } : { safe, refused, tooEarly };
  const text = `${context.call}: gRPC status ${status}: ${message.slice(0, QUOTE_MAX)}`;
  return new CallError(code, text, retry, hintFor(code));
}

function hintFor(code: ErrorCode): { readonly hint?: Hint } {
  return code === 'UNAUTHORIZED' ? { hint: 'api-key' } : {};
}

/** Returns the error for a call without an answer. */
export function connectionError(cause: unknown, context: { call: string; endpoint: string }): TldrError {
  if (isTldrError(cause)) return cause;
  const inner: unknown =
    typeof cause === 'object' && cause !== null && 'cause' in cause ? cause.cause : undefined;
  const why = inner === undefined ? messageOf(cause) : `${messageOf(cause)} (${messageOf(inner)})`;
  const untrusted = CERTIFICATE.test(codeOf(inner));
  const hint = untrusted
    ? 'Node does not trust the certificate: set NODE_EXTRA_CA_CERTS to the file of its authority'
    : 'Is Qdrant running there?';
  const message = `${context.call}: no answer from ${context.endpoint}: ${why}. ${hint}`;
  return new CallError('UNAVAILABLE', message, { safe: !untrusted }, { cause });
}

/** Node's error codes for a certificate that it does not trust (from OpenSSL). */
export const CERTIFICATE = /CERT|^UNABLE_TO_/;

function errorText(body: string): string {
  const title = webPageTitle(body);
  if (title !== null) return title === '' ? 'a web page' : `a web page with the title "${title}"`;
  const match = /"error"\s*:\s*("(?:[^"\\]|\\.)*")/.exec(body);
  return (match?.[1] === undefined ? body : unquoted(match[1])).slice(0, QUOTE_MAX);
}

/** Returns the text of a JSON string; the input itself if it is no JSON string. */
function unquoted(json: string): string {
  try {
    return String(JSON.parse(json));
  } catch {
    return json.slice(1, -1);
  }
}
