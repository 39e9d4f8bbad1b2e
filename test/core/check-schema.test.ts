import { expect, test } from '@jest/globals';
import * as v from 'valibot';
import { inForm, jsonOrNull } from '../../src/core/check-schema.js';

const FORM = v.looseObject({
  name: v.string(),
  sizes: v.array(v.number()),
  more: v.exactOptional(v.string()),
});

const problemOf = (value: unknown): string => {
  try {
    inForm(FORM, value, { at: 'file' });
  } catch (error) {
    return (error as Error).message;
  }
  return '';
};

test('a value of the form is returned itself, with fields that the form does not name', () => {
  const value = { later: 1, name: 'a', sizes: [1, 2] };
  expect(inForm(FORM, value)).toBe(value);
  expect(Object.keys(inForm(FORM, value))).toEqual(['later', 'name', 'sizes']);
});

test('an error names the field, what is expected and what was found', () => {
  expect(problemOf({ sizes: [] })).toBe('file.name: it is missing');
  expect(problemOf({ name: 'a', sizes: [1, '2'] })).toBe('file.sizes.1: expected number, got "2"');
  expect(problemOf({ name: ['a', 'b'], sizes: [] })).toBe('file.name: expected string, got a list of 2');
  expect(problemOf('text')).toMatch(/^file: expected .*, got "text"$/);
});

test('a value that is nested too deep to be written as text is an error like any other', () => {
  const deep: unknown = JSON.parse(`${'['.repeat(20_000)}${']'.repeat(20_000)}`);
  expect(problemOf({ name: deep, sizes: [] })).toBe('file.name: expected string, got a list of 1');
  expect(problemOf({ name: { deep }, sizes: [] })).toBe('file.name: expected string, got an object');
});

test('text of another form is null where anybody may have written it', () => {
  expect(jsonOrNull(FORM, '{"name":"a","sizes":[]}')).toEqual({ name: 'a', sizes: [] });
  expect(jsonOrNull(FORM, '{"name":1}')).toBeNull();
  expect(jsonOrNull(FORM, '{')).toBeNull();
});
