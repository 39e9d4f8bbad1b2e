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
    if ((await file.stat()).isDirectory())
      throw new TldrError('INVALID_ARGUMENT', `${path} is a folder, expected a file`);
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
