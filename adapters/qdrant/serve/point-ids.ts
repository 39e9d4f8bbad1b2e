import type { PointId } from '../../../src/core/point-id.js';
import { U64_MAX } from '../points/point-id.js';

const PARTS = ['([0-9a-f]{8})', '([0-9a-f]{4})', '([0-9a-f]{4})', '([0-9a-f]{4})', '([0-9a-f]{12})'];
/**
 * UUIDs: hyphenated, without hyphens, or hyphenated in braces. A URN has a lower-case prefix before the first
 * form.
 */
const HYPHENATED = new RegExp(`^${PARTS.join('-')}$`, 'i');
const SIMPLE = new RegExp(`^${PARTS.join('')}$`, 'i');

/** Returns a numeric id from its digits in JSON; null if the server does not accept it. */
export function numericId(text: string): PointId | null {
  if (!/^\d{1,20}$/.test(text)) return null;
  const value = BigInt(text);
  return value <= U64_MAX ? value : null;
}

/**
 * Returns a UUID as the server stores it; null for anything else. Like the server, it reads UUIDs with
 * hyphens, without hyphens, and with hyphens in braces or as a URN.
 */
export function uuidId(text: string): PointId | null {
  const inner = /^\{(.*)\}$/s.exec(text)?.[1] ?? /^urn:uuid:(.*)$/s.exec(text)?.[1];
  const parts = HYPHENATED.exec(inner ?? text) ?? (inner === undefined ? SIMPLE.exec(text) : null);
  return parts === null ? null : parts.slice(1).join('-').toLowerCase();
}
