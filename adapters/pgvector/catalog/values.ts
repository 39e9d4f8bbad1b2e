import { TldrError } from '../../../src/core/errors.js';
import type { Row } from '../connect/connections.js';

/** Returns a text of a row. @throws INTERNAL when it is no text */
export function textIn(row: Row, name: string): string {
  const value = row[name];
  if (typeof value === 'string') return value;
  throw new TldrError('INTERNAL', `${name}: expected a text from the server, got ${typeof value}`);
}

/** Returns a whole number of a row that was asked for as text. @throws INTERNAL when it is none */
export function numberIn(row: Row, name: string): number {
  const value = Number(textIn(row, name));
  if (Number.isFinite(value)) return value;
  throw new TldrError('INTERNAL', `${name}: expected a number from the server`);
}

/** Returns a list of texts of a row. @throws INTERNAL when it is none */
export function textsIn(row: Row, name: string): readonly string[] {
  const value: unknown = JSON.parse(textIn(row, name));
  if (Array.isArray(value) && value.every((text): text is string => typeof text === 'string')) return value;
  throw new TldrError('INTERNAL', `${name}: expected a list of texts from the server`);
}
