import { expect, test } from '@jest/globals';
import { boundedName, fileNamePart } from '../../src/core/bounded-name.js';

/** Pairwise different, and often taken for the same. */
const NAMES = [
  'docs',
  'Docs',
  'DOCS',
  'docs ',
  'do/cs',
  'do\\cs',
  'do:cs',
  'do_cs',
  '-docs',
  '_docs',
  '.docs',
  'caf\u00e9',
  'cafe\u0301',
  'CAF\u00c9',
  'ﬁ',
  'fi',
  '名'.repeat(15),
  '名'.repeat(16),
  '名'.repeat(85),
  `${'a'.repeat(129)}b`,
  `${'a'.repeat(129)}c`,
  '\u{1f600}'.repeat(60),
  'con',
  '..',
  '',
];

test('parts of file names stay apart where case and Unicode forms are one, and are short', () => {
  const parts = NAMES.map(fileNamePart);
  const seen = parts.map((part) => part.normalize('NFKC').toLowerCase());
  expect(new Set(seen).size).toBe(NAMES.length);
  for (const part of parts) {
    expect(Buffer.byteLength(part)).toBeLessThanOrEqual(60);
    expect(part).not.toMatch(/^[.-]|[/\\:\s\0]|\ufffd/u);
  }
  expect(fileNamePart('docs_c96')).toBe('docs_c96');
  // Given names of collections are no names made of others.
  expect(fileNamePart(fileNamePart('Docs'))).not.toBe(fileNamePart('Docs'));
});

test('a name is bounded by its bytes and cut between characters', () => {
  expect(boundedName('名'.repeat(85), 255)).toBe('名'.repeat(85));
  const bounded = NAMES.map((name) => boundedName(name, 40));
  expect(new Set(bounded).size).toBe(NAMES.length);
  for (const name of bounded) expect(Buffer.byteLength(name)).toBeLessThanOrEqual(40);
  expect(boundedName('名'.repeat(86), 255)).toMatch(/^名{79}\+[0-9a-f]{16}$/u);
});
