import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { ClientMessages, readsRows } from '../../../adapters/pgvector/embedded/client-messages.js';

function message(kind: string, body: Buffer): Buffer {
  const head = Buffer.alloc(4);
  head.writeInt32BE(4 + body.length);
  return Buffer.concat([Buffer.from(kind), head, body]);
}

function beforeStart(code: number): Buffer {
  const body = Buffer.alloc(4);
  body.writeInt32BE(code);
  return message('', Buffer.concat([body, Buffer.from('user\0postgres\0\0')]));
}

const ENCRYPTION = 80_877_103;
const VERSION_3 = 196_608;

test('messages are whole, wherever the bytes were cut', () => {
  const bodies = fc.array(
    fc.tuple(fc.constantFrom('Q', 'P', 'B', 'S', 'd'), fc.uint8Array({ maxLength: 300 })),
  );
  fc.assert(
    fc.property(bodies, fc.array(fc.integer({ min: 1, max: 97 }), { minLength: 1 }), (sent, sizes) => {
      const all = [
        ['encryption', beforeStart(ENCRYPTION)],
        ['start', beforeStart(VERSION_3)],
        ...sent.map(([kind, body]) => [kind, message(kind, Buffer.from(body))] as const),
      ] as const;
      const bytes = Buffer.concat(all.map(([, own]) => own));
      const messages = new ClientMessages();
      const found = [];
      for (let at = 0, i = 0; at < bytes.length; i++) {
        const size = sizes[i % sizes.length] ?? 1;
        found.push(...messages.take(bytes.subarray(at, at + size)));
        at += size;
      }
      expect(found.map(({ kind, bytes: own }) => [kind, own.toString('hex')])).toEqual(
        all.map(([kind, own]) => [kind, own.toString('hex')]),
      );
    }),
  );
});

test.each([
  ['copy docs (id, v) from stdin (format binary)', true],
  ['  COPY "a table" FROM STDIN', true],
  ['copy docs to stdout', false],
  ['select 1; copy docs from stdin', false],
  ["insert into docs values ('copy from stdin')", false],
])('%s: reads rows, %s', (text, expected) => {
  const bytes = message('Q', Buffer.from(`${text}\0`));
  expect(readsRows({ kind: 'Q', bytes })).toBe(expected);
  expect(readsRows({ kind: 'P', bytes })).toBe(false);
});
