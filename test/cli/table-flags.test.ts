import { expect, test } from '@jest/globals';
import { namedTable } from '../../src/cli/console/table-flags.js';

const ADDRESS = 'postgres://app@localhost/app';

test('an address with --table is a table on that server', () => {
  expect(namedTable(ADDRESS, { table: 'public.docs', column: 'embedding' })).toEqual({
    collection: 'public.docs',
    way: { url: ADDRESS, vector: 'embedding' },
  });
});

test('a name stays a name, and --column is another word for --vector', () => {
  expect(namedTable('docs', { column: 'embedding', vector: 'embedding' })).toEqual({
    collection: 'docs',
    way: { vector: 'embedding' },
  });
  expect(namedTable('docs', {})).toEqual({ collection: 'docs', way: {} });
});

test('--column of a file is not a vector', () => {
  expect(namedTable(undefined, { input: 'base.parquet', column: 'emb' })).toEqual({ way: {} });
});

test.each([
  ['no table', ADDRESS, {}, 'name the table with --table'],
  ['a table without an address', 'docs', { table: 'docs' }, 'got docs'],
  ['two addresses', ADDRESS, { table: 'docs', url: 'http://localhost:6333' }, 'give one of them'],
  ['two columns', 'docs', { column: 'a', vector: 'b' }, 'name two columns'],
])('%s is refused', (_what, named, flags, words) => {
  expect(() => namedTable(named, flags)).toThrow(words);
});

test('an error shows no password', () => {
  expect(() => namedTable('postgres://app:s3cret@localhost/app', {})).toThrow(
    /^(?!.*s3cret).*name the table/s,
  );
});
