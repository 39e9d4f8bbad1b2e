import { open, type FileHandle } from 'node:fs/promises';
import { messageOf, TldrError } from '../core/errors.js';

/** One line of a text file, counted from 1. */
export interface TextLine {
  readonly number: number;
  readonly text: string;
}

const BYTE_ORDER_MARK = /^\uFEFF/;

/** The lines of a UTF-8 file, one by one. @throws NOT_FOUND */
export async function* textLines(path: string): AsyncGenerator<TextLine> {
  let file: FileHandle;
  try {
    file = await open(path, 'r');
  } catch (cause) {
    throw new TldrError('NOT_FOUND', `cannot open ${path}: ${messageOf(cause)}`, { cause });
  }
  try {
    let number = 0;
    for await (const line of file.readLines({ encoding: 'utf8' })) {
      number++;
      yield { number, text: number === 1 ? line.replace(BYTE_ORDER_MARK, '') : line };
    }
  } finally {
    // The stream closes the file at its end; a reader that stops early leaves it open.
    await file.close().catch(() => undefined);
  }
}

/**
 * One vector as a JSON array on a line.
 * @param dim numbers expected; undefined takes any length
 * @throws INVALID_DATA with the line number
 */
export function parseVectorLine(line: string, number: number, dim: number | undefined): number[] {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch (cause) {
    throw new TldrError('INVALID_DATA', `line ${number} is no JSON: ${messageOf(cause)}`, { cause });
  }
  const expected = `expected an array of ${dim === undefined ? '' : `${dim} `}finite numbers`;
  if (!Array.isArray(value))
    throw new TldrError(
      'INVALID_DATA',
      `line ${number}: ${expected}, got ${value === null ? 'null' : typeof value}`,
    );
  const items: readonly unknown[] = value;
  if (!items.every((item): item is number => typeof item === 'number' && Number.isFinite(item)))
    throw new TldrError('INVALID_DATA', `line ${number}: ${expected}, got something else among them`);
  if (items.length === 0 || (dim !== undefined && items.length !== dim))
    throw new TldrError('INVALID_DATA', `line ${number}: ${expected}, got ${items.length}`);
  return [...items];
}
