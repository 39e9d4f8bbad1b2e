import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { BodyPieces } from '../../src/serve/body-pieces.js';

test('gives back what came, whatever the pieces', () => {
  const sizes = fc.array(fc.oneof(fc.integer({ min: 0, max: 9 }), fc.integer({ min: 0, max: 200_000 })), {
    maxLength: 40,
  });
  fc.assert(
    fc.property(sizes, fc.boolean(), (lengths, isView) => {
      const pieces = new BodyPieces();
      const expected: Buffer[] = [];
      lengths.forEach((length, i) => {
        const memory = Buffer.alloc(length * (isView ? 3 : 1), i + 1);
        const piece = memory.subarray(0, length);
        const isCopied = isView && pieces.sizeBytes > 0;
        pieces.add(piece);
        expected.push(Buffer.from(piece));
        if (isCopied) piece.fill(0);
      });
      expect(pieces.sizeBytes).toBe(lengths.reduce((sum, length) => sum + length, 0));
      expect(pieces.join().equals(Buffer.concat(expected))).toBe(true);
    }),
    { numRuns: 100, seed: 1 },
  );
});

test('one piece is not copied', () => {
  const piece = Buffer.alloc(100_000, 1);
  const pieces = new BodyPieces();
  pieces.add(piece);
  expect(pieces.join()).toBe(piece);
});
