import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { once } from 'node:events';
import { createServer } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { Grpc } from '../../../../adapters/qdrant/transport/grpc.js';
import { isTldrError, type ErrorCode } from '../../../../src/core/errors.js';

const ATTEMPTS = 3;

/** Answers every call with a status: no server can be made to answer with each of them. */
const upstream = createServer();
let answer: Readonly<Record<string, string>> = {};
let calls = 0;
/** How often the caller heard that the server has too much to do. */
let turnedAway = 0;
let grpc: Grpc;

beforeAll(async () => {
  upstream.on('stream', (stream) => {
    calls++;
    stream.on('error', () => undefined).resume();
    stream.respond({ ':status': 200, 'content-type': 'application/grpc', ...answer }, { endStream: true });
  });
  upstream.listen(0, '127.0.0.1');
  await once(upstream, 'listening');
  grpc = new Grpc({
    url: `http://127.0.0.1:${(upstream.address() as AddressInfo).port}`,
    apiKey: undefined,
    timeoutMs: 600_000,
    log: undefined,
    retry: { attempts: ATTEMPTS, firstDelayMs: 1, longestDelayMs: 2, turnMs: 0 },
    refused: () => turnedAway++,
  });
});

beforeEach(() => {
  [calls, turnedAway] = [0, 0];
});

afterAll(async () => {
  const closed = once(upstream, 'close');
  grpc.close();
  upstream.close();
  await closed;
});

/** The code of the error that a caller gets, and how often the server was called until then. */
async function failWith(
  status: number,
  text: string,
  more: Readonly<Record<string, string>> = {},
): Promise<readonly [ErrorCode | 'none', number]> {
  answer = { 'grpc-status': String(status), 'grpc-message': encodeURIComponent(text), ...more };
  const error: unknown = await grpc
    .call('Points/Count', new Uint8Array(1))
    .catch((thrown: unknown) => thrown);
  if (!isTldrError(error)) return ['none', calls];
  expect(error.message).toContain(`gRPC Points/Count: `);
  expect(error.message).toContain(text);
  return [error.code, calls];
}

describe('the error of a call that ended with a gRPC status', () => {
  test.each<readonly [string, number, ErrorCode, number]>([
    ['CANCELLED', 1, 'UNAVAILABLE', 1],
    ['UNKNOWN', 2, 'UNAVAILABLE', 1],
    ['INVALID_ARGUMENT', 3, 'INVALID_ARGUMENT', 1],
    ['DEADLINE_EXCEEDED', 4, 'TIMEOUT', ATTEMPTS],
    ['NOT_FOUND', 5, 'NOT_FOUND', 1],
    ['ALREADY_EXISTS', 6, 'ALREADY_EXISTS', 1],
    ['PERMISSION_DENIED', 7, 'FORBIDDEN', 1],
    ['RESOURCE_EXHAUSTED', 8, 'UNAVAILABLE', ATTEMPTS],
    ['FAILED_PRECONDITION', 9, 'INVALID_ARGUMENT', 1],
    ['ABORTED', 10, 'UNAVAILABLE', 1],
    ['OUT_OF_RANGE', 11, 'INVALID_ARGUMENT', 1],
    ['UNIMPLEMENTED', 12, 'UNSUPPORTED', 1],
    ['INTERNAL', 13, 'UNAVAILABLE', 1],
    ['UNAVAILABLE', 14, 'UNAVAILABLE', ATTEMPTS],
    ['DATA_LOSS', 15, 'UNAVAILABLE', 1],
    ['UNAUTHENTICATED', 16, 'UNAUTHORIZED', 1],
    ['a status that gRPC does not have', 17, 'UNAVAILABLE', 1],
  ])('%s (%i) is %s, after %i calls', async (_name, status, code, count) => {
    expect(await failWith(status, 'said by the server')).toEqual([code, count]);
    expect(turnedAway).toBe(status === 8 ? count : 0);
  });

  test('a message that the server cannot read is the caller’s fault, and sent once', async () => {
    const text = 'failed to decode Protobuf message: recursion limit reached';
    expect(await failWith(13, text)).toEqual(['INVALID_ARGUMENT', 1]);
  });

  test.each([8, 13, 14])(
    'a limit of strict mode is never retried, whatever its status: %i',
    async (status) => {
      const text = 'Read rate limit exceeded, request larger than rate limiter capacity, please try to split';
      expect(await failWith(status, text)).toEqual(['UNSUPPORTED', 1]);
    },
  );

  test('where the server says when to call again, the call waits and counts as turned away', async () => {
    expect(await failWith(14, 'busy', { 'retry-after': '0' })).toEqual(['UNAVAILABLE', ATTEMPTS]);
    expect(turnedAway).toBe(ATTEMPTS);
  });

  test('one that cannot succeed is not made again because the server names a time', async () => {
    expect(await failWith(3, 'no such field', { 'retry-after': '0' })).toEqual(['INVALID_ARGUMENT', 1]);
  });
});
