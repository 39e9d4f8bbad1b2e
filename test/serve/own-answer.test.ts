import { afterEach, beforeEach, expect, jest, test } from '@jest/globals';
import { IncomingMessage, ServerResponse } from 'node:http';
import { Socket } from 'node:net';
import { setImmediate as turn } from 'node:timers/promises';
import { answerOwn } from '../../src/serve/rest/own-answer.js';

const PIECE = Buffer.alloc(1_000);
const PIECE_EVERY_MS = 1_500;
const QUIET_MS = 2_000;
const LONGEST_MS = 30_000;

beforeEach(() => void jest.useFakeTimers({ doNotFake: ['setImmediate', 'queueMicrotask', 'nextTick'] }));
afterEach(() => void jest.useRealTimers());

/** An answer to a request whose body has only begun. */
function answered(): { readonly request: IncomingMessage; readonly response: ServerResponse } {
  const request = new IncomingMessage(new Socket());
  const response = new ServerResponse(request);
  const answer = { kind: 'answer', status: 503, contentType: 'text/plain', body: 'later' } as const;
  answerOwn({ request, response }, answer, { headers: [], last: false });
  return { request, response };
}

/** Lets the rest of the body come piece by piece for so long. */
async function receive(request: IncomingMessage, ms: number): Promise<void> {
  for (let passed = 0; passed < ms; passed += PIECE_EVERY_MS) {
    request.push(PIECE);
    await turn();
    jest.advanceTimersByTime(PIECE_EVERY_MS);
  }
}

test('an answer to a client that still sends is kept open as long as pieces come, and for a while after', async () => {
  const { request, response } = answered();
  await receive(request, 15_000);
  expect([response.headersSent, response.writableEnded]).toEqual([true, false]);
  jest.advanceTimersByTime(QUIET_MS);
  expect(response.writableEnded).toBe(true);
});

test('but it ends if pieces never cease', async () => {
  const { request, response } = answered();
  await receive(request, LONGEST_MS + PIECE_EVERY_MS);
  expect(response.writableEnded).toBe(true);
});

test('and at once where the body is complete', async () => {
  const { request, response } = answered();
  request.push(null);
  await turn();
  expect(response.writableEnded).toBe(true);
});
