import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import stringWidth from 'string-width';
import { wrapWords } from '../../../src/cli/console/wrap-words.js';

describe('text on a terminal', () => {
  test('is broken between words, with the indent of its line', () => {
    expect(wrapWords('  the full vectors stay on disk and order the first hundred results', 44)).toBe(
      '  the full vectors stay on disk and order\n  the first hundred results',
    );
  });

  test('keeps its colours, which take no columns', () => {
    const text = '\x1b[32mverified all 10,000 points: ids, payloads,\x1b[39m and vectors agree';
    expect(wrapWords(text, 44)).toBe(
      '\x1b[32mverified all 10,000 points: ids, payloads,\x1b[39m\nand vectors agree',
    );
  });

  test.each([
    '  $ qdrant-tldr plan docs --dims 32,64,128 --seed 0',
    'qdrant-tldr search docs --top 10 --exact yes',
  ])('stays whole if it is a command: %s', (command) => expect(wrapWords(command, 40)).toBe(command));

  test('is as it was where there is no terminal, or hardly any room', () => {
    const text = 'the full vectors stay on disk and order the first hundred results';
    expect(wrapWords(text, Number.POSITIVE_INFINITY)).toBe(text);
    expect(wrapWords(text, 20)).toBe(text);
  });

  test('fits, and loses no word', () => {
    const words = fc.array(fc.stringMatching(/^[a-z]{1,30}$/), { minLength: 1, maxLength: 60 });
    fc.assert(
      fc.property(
        words,
        fc.integer({ min: 0, max: 6 }),
        fc.integer({ min: 42, max: 160 }),
        (all, indent, columns) => {
          const text = ' '.repeat(indent) + all.join(' ');
          const lines = wrapWords(text, columns).split('\n');
          expect(lines.map((line) => line.trim()).join(' ')).toBe(all.join(' '));
          for (const line of lines) expect(stringWidth(line)).toBeLessThanOrEqual(columns);
        },
      ),
    );
  });
});
