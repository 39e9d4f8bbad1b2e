import { U64_MAX, type PointId } from '../../../src/core/point-id.js';

const PARTS = ['([0-9a-f]{8})', '([0-9a-f]{4})', '([0-9a-f]{4})', '([0-9a-f]{4})', '([0-9a-f]{12})'];
/** Hyphenated, without hyphens, or hyphenated in braces; a URN, whose prefix must be small, holds the first. */
const HYPHENATED = new RegExp(`^${PARTS.join('-')}$`, 'i');
const SIMPLE = new RegExp(`^${PARTS.join('')}$`, 'i');

/** A numeric id from its digits in JSON; null for what the server does not take as one. */
export function numericId(text: string): PointId | null {
  if (!/^\d{1,20}$/.test(text)) return null;
  const value = BigInt(text);
  return value <= U64_MAX ? value : null;
}

/**
 * A UUID in any of the ways in which the server reads one (hyphenated, without hyphens, the former in braces or as a
 * URN), as the server stores it; null for anything else.
 */
export function uuidId(text: string): PointId | null {
  const inner = /^\{(.*)\}$/s.exec(text)?.[1] ?? /^urn:uuid:(.*)$/s.exec(text)?.[1];
  const parts = HYPHENATED.exec(inner ?? text) ?? (inner === undefined ? SIMPLE.exec(text) : null);
  return parts === null ? null : parts.slice(1).join('-').toLowerCase();
}
