import { isLosslessNumber, LosslessNumber, parse, stringify } from 'lossless-json';
import { messageOf, TldrError } from '../../../src/core/errors.js';

/** JSON whose numbers keep their text, so that ids above 2^53 and `1.0` stay exact. */
export type Json = null | boolean | string | LosslessNumber | Json[] | JsonObject;
export interface JsonObject {
  [key: string]: Json;
}

/** Returns parsed JSON. @throws UNAVAILABLE when the text is no JSON, so the server is no Qdrant */
export function parseJson(text: string): Json {
  try {
    return parse(text) as Json;
  } catch (cause) {
    throw new TldrError('UNAVAILABLE', `expected JSON, got "${text.slice(0, 80)}": ${messageOf(cause)}`, {
      cause,
    });
  }
}

export function stringifyJson(value: Json): string {
  return stringify(value) ?? 'null';
}

/** Returns the JSON number of an exact JS number. */
export function num(value: number | bigint): LosslessNumber {
  return new LosslessNumber(String(value));
}

export function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !isLosslessNumber(value);
}

/** Returns the object at a path of keys, or an empty one. */
export function objectAt(value: Json | undefined, ...path: string[]): JsonObject {
  const found = valueAt(value, ...path);
  return isObject(found) ? found : {};
}

export function valueAt(value: Json | undefined, ...path: string[]): Json | undefined {
  return path.reduce<Json | undefined>(
    (at, key) => (isObject(at) && Object.hasOwn(at, key) ? at[key] : undefined),
    value,
  );
}

export function listAt(value: Json | undefined, ...path: string[]): Json[] {
  const found = valueAt(value, ...path);
  return Array.isArray(found) ? found : [];
}

export function textAt(value: Json | undefined, ...path: string[]): string | undefined {
  const found = valueAt(value, ...path);
  return typeof found === 'string' ? found : undefined;
}

export function numberAt(value: Json | undefined, ...path: string[]): number | undefined {
  const found = valueAt(value, ...path);
  return isLosslessNumber(found) ? Number(found.value) : undefined;
}

/**
 * Returns the list that an answer has under a key.
 * @param answer what the server answered, and a noun for it, for the error
 * @throws UNAVAILABLE when there is none
 */
export function answeredList(answer: Answer, key: string): Json[] {
  const found = valueAt(answer.json, key);
  return Array.isArray(found) ? found : missing(answer, `list "${key}"`);
}

/** Returns the text that an answer has under a key. @throws UNAVAILABLE when there is none */
export function answeredText(answer: Answer, key: string): string {
  return textAt(answer.json, key) ?? missing(answer, `text "${key}"`);
}

/** Returns the number that an answer has under a key. @throws UNAVAILABLE when there is none */
export function answeredNumber(answer: Answer, key: string): number {
  return numberAt(answer.json, key) ?? missing(answer, `number "${key}"`);
}

/** Returns the object that an answer has under a key. @throws UNAVAILABLE when there is none */
export function answeredObject(answer: Answer, key: string): JsonObject {
  const found = valueAt(answer.json, key);
  return isObject(found) ? found : missing(answer, `object "${key}"`);
}

/** Returns the boolean that an answer has under a key. @throws UNAVAILABLE when there is none */
export function answeredBoolean(answer: Answer, key: string): boolean {
  const found = valueAt(answer.json, key);
  return typeof found === 'boolean' ? found : missing(answer, `boolean "${key}"`);
}

/** Part of a server's answer, and a noun for it. */
interface Answer {
  readonly json: Json | undefined;
  readonly of: string;
}

function missing({ json, of }: Answer, what: string): never {
  const found = isObject(json)
    ? `fields ${Object.keys(json).join(', ')}`
    : Array.isArray(json)
      ? 'a list'
      : String(json);
  throw new TldrError(
    'UNAVAILABLE',
    `the server's answer about ${of} has no ${what} (found: ${found}): check that the address leads to a Qdrant server, and that nothing on the way changes its answers`,
  );
}

/**
 * Returns a map from path to the text of each scalar, for comparing settings. Nulls and empty objects are
 * omitted. A key that is not a plain word, such as a name that a user chose, is quoted: otherwise two paths
 * could be equal.
 */
export function flatten(value: Json, prefix = '', into = new Map<string, string>()): Map<string, string> {
  if (value === null) return into;
  if (isObject(value)) {
    for (const [key, inner] of Object.entries(value)) {
      const shown = /^[\w-]+$/.test(key) ? key : JSON.stringify(key);
      flatten(inner, prefix === '' ? shown : `${prefix}.${shown}`, into);
    }
  } else {
    into.set(prefix, stringifyJson(value));
  }
  return into;
}
