import type { FailureAnswer, ProxyFailure } from '../../../src/core/wire.js';

/** The statuses that the server has for the same failures. */
const STATUS: Readonly<Record<ProxyFailure, number>> = {
  'too-large': 400,
  unreadable: 400,
  overloaded: 429,
  unavailable: 503,
  timeout: 408,
  internal: 500,
};

/** A failure of the proxy in the shape of the server's errors. */
export const restFailure: FailureAnswer = (failure, message) => ({
  kind: 'answer',
  status: STATUS[failure],
  contentType: 'application/json',
  body: JSON.stringify({ status: { error: message }, time: 0.0 }),
});
