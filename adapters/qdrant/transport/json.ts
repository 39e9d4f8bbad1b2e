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
