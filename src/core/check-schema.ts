import * as v from 'valibot';
import { expectDefined, messageOf, TldrError } from './errors.js';

/** Most characters of a value that an error shows. */
const SHOWN_CHARS = 60;

/** How to say that a value has another form. */
export interface FormWords {
  /** Path of the value in its document; the path of a wrong field begins with it. */
  readonly at?: string;
  /** Makes the error. `problem` names the wrong field, what is expected there and what was found. */
  readonly refuse?: (problem: string, cause?: unknown) => TldrError;
}

/**
 * Returns a value that was read from outside if it has the form of a schema: the same object, so that unknown
 * fields and their order survive.
 * @throws the error that `refuse` makes, by default INVALID_DATA
 */
export function inForm<const Schema extends v.GenericSchema>(
  schema: Schema,
  value: unknown,
  { at, refuse = invalidData }: FormWords = {},
): v.InferInput<Schema> {
  if (v.is(schema, value)) return value;
  const { issues } = v.safeParse(schema, value, { abortEarly: true });
  throw refuse(problemOf(expectDefined(issues, 'what is wrong with a value')[0], at));
}

/** Returns the value of a JSON text, as `inForm`. @throws also for text that is no JSON */
export function checkJson<const Schema extends v.GenericSchema>(
  schema: Schema,
  text: string,
  words: FormWords = {},
): v.InferInput<Schema> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw (words.refuse ?? invalidData)(messageOf(cause), cause);
  }
  return inForm(schema, value, words);
}

/** Returns the value of a JSON text; null for text of another form, where anybody may have written it. */
export function jsonOrNull<const Schema extends v.GenericSchema>(
  schema: Schema,
  text: string,
): v.InferInput<Schema> | null {
  try {
    return checkJson(schema, text);
  } catch {
    return null;
  }
}

function problemOf(issue: v.BaseIssue<unknown>, at: string | undefined): string {
  const { input, expected, message } = issue;
  const path = [at, v.getDotPath(issue)].filter((part) => part != null).join('.');
  // The library's own messages begin with this word. All others are the schema's.
  const rule = message.startsWith('Invalid ') ? `expected ${expected ?? message}` : message;
  const what = input === undefined ? 'it is missing' : `${rule}, got ${excerptOf(input)}`;
  return path === '' ? what : `${path}: ${what}`;
}

function excerptOf(value: unknown): string {
  // The text of a list or an object from outside may be huge, or too deep to be made.
  if (Array.isArray(value)) return `a list of ${value.length.toLocaleString('en-US')}`;
  if (typeof value === 'object' && value !== null) return 'an object';
  const text = JSON.stringify(value);
  return text.length > SHOWN_CHARS ? `${text.slice(0, SHOWN_CHARS - 1)}…` : text;
}

function invalidData(problem: string, cause?: unknown): TldrError {
  return new TldrError('INVALID_DATA', problem, { cause });
}
