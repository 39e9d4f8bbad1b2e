import type { BodySize, FailureAnswer, ProxyFailure } from '../../../src/core/wire.js';

/** The statuses that the server has for the same failures. */
const STATUS: Readonly<Record<ProxyFailure, number>> = {
  'too-large': 400,
  unreadable: 400,
  overloaded: 429,
  unavailable: 503,
  timeout: 408,
  internal: 500,
  'no-path': 404,
};

/** A failure of the proxy in the shape of the server's errors; a body that is too large in its very words. */
export const restFailure: FailureAnswer = (failure, message, size) => ({
  kind: 'answer',
  status: STATUS[failure],
  contentType: 'application/json',
  // Of a route that it does not have the server says nothing.
  body: failure === 'no-path' ? '' : errorBody(size === undefined ? message : tooLarge(size)),
});

function errorBody(error: string): string {
  return `{"status":{"error":${JSON.stringify(error)}},"time":0.0}`;
}

function tooLarge({ limitBytes, announcedBytes }: BodySize): string {
  return announcedBytes === null
    ? `Payload error: JSON payload has exceeded limit (${limitBytes} bytes).`
    : `Payload error: JSON payload (${announcedBytes} bytes) is larger than allowed (limit: ${limitBytes} bytes).`;
}
