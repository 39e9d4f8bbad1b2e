import type { BodySize, FailureAnswer, ProxyFailure } from '../../../../src/serve/protocol.js';
import { errorAnswer, NO_ROUTE } from './answer.js';

/** The server's statuses for the same failures. */
const STATUS: Readonly<Record<Exclude<ProxyFailure, 'no-path'>, number>> = {
  'too-large': 400,
  unreadable: 400,
  unsupported: 415,
  overloaded: 429,
  unavailable: 503,
  redirected: 502,
  timeout: 408,
  internal: 500,
};

/** Returns a failure of the proxy in the shape of the server's errors; for a too large body, in its words. */
export const restFailure: FailureAnswer = (failure, message, size) =>
  failure === 'no-path'
    ? NO_ROUTE
    : errorAnswer(STATUS[failure], size === undefined ? message : tooLarge(size));

function tooLarge({ limitBytes, announcedBytes }: BodySize): string {
  return announcedBytes === null
    ? `Payload error: JSON payload has exceeded limit (${limitBytes} bytes).`
    : `Payload error: JSON payload (${announcedBytes} bytes) is larger than allowed (limit: ${limitBytes} bytes).`;
}
