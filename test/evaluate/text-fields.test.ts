import { describe, expect, test } from '@jest/globals';
import { textFieldOf } from '../../src/evaluate/text-fields.js';

/** Payloads of twenty points. */
function payloads(of: (i: number) => unknown): string[] {
  return Array.from({ length: 20 }, (_, i) => JSON.stringify(of(i)));
}

describe('textFieldOf', () => {
  test.each([
    [
      'a title rather than a long body, an address or a category',
      payloads((i) => ({
        url: `http://example.test/a/long/path/without/blanks/${i}`,
        body: `${'Many words about it. '.repeat(40)}${i}`,
        category: 'a common category',
        title: `How to do thing number ${i}`,
      })),
      'title',
    ],
    ['the only text', payloads((i) => ({ n: i, body: `${'word '.repeat(200)}${i}` })), 'body'],
    ['a text within an object', payloads((i) => ({ meta: { name: `The name of point ${i}` } })), 'meta.name'],
    ['a text in a script without blanks', payloads((i) => ({ t: `東京は日本の首都であり${i}` })), 't'],
    ['none if values repeat', payloads((i) => ({ shelf: `shelf number ${i % 3}` })), null],
    ['none if values are ids', payloads((i) => ({ id: `8e1f-${i}`, n: i })), null],
    ['none if most points lack it', payloads((i) => (i < 5 ? { note: `A rare note, no. ${i}` } : {})), null],
    ['none without payloads', [], null],
  ])('takes %s', (_what, given, expected) => {
    expect(textFieldOf(given)).toBe(expected);
  });
});
