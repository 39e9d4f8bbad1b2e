import { open, type FileHandle } from 'node:fs/promises';
import { TextDecoder } from 'node:util';
import { messageOf, TldrError } from '../core/errors.js';

/** One line of a text file, counted from 1. */
export interface TextLine {
  readonly number: number;
  readonly text: string;
}

const CHUNK_BYTES = 64 * 1024;
const LINE_CHARS_MAX = 16 * 1024 ** 2;

/**
 * The lines of a text file, one by one. A line ends with LF, CR LF or CR. The file is UTF-8, or UTF-16 with a byte
 * order mark, as some programs for Windows write it.
 * @throws NOT_FOUND, INVALID_ARGUMENT for a folder or a device, INVALID_DATA for what is no such text
 */
export async function* textLines(path: string): AsyncGenerator<TextLine> {
  let file: FileHandle;
  try {
    file = await open(path, 'r');
  } catch (cause) {
    throw new TldrError('NOT_FOUND', `cannot open ${path}: ${messageOf(cause)}`, { cause });
  }
  try {
    const found = await file.stat();
    if (found.isDirectory() || found.isCharacterDevice() || found.isBlockDevice()) {
      const kind = found.isDirectory() ? 'folder' : 'device';
      throw new TldrError('INVALID_ARGUMENT', `${path} is a ${kind}, expected a file`);
    }
    let number = 0;
    let rest = '';
    for await (const text of textOf(file, path)) {
      // A CR at the end may be the first half of a CR LF.
      const lines = (rest + text).split(/\r\n|\n|\r(?!$)/);
      rest = lines.pop() ?? '';
      for (const line of lines) yield { number: ++number, text: line };
      if (rest.length > LINE_CHARS_MAX)
        throw bad(path, `line ${number + 1} is longer than ${LINE_CHARS_MAX} characters`);
    }
    if (rest !== '') yield { number: ++number, text: rest.replace(/\r$/, '') };
  } finally {
    await file.close();
  }
}

/** The file's text, decoded chunk by chunk. */
async function* textOf(file: FileHandle, path: string): AsyncGenerator<string> {
  const chunk = Buffer.alloc(CHUNK_BYTES);
  let decoder: TextDecoder | undefined;
  let start = Buffer.alloc(0);
  for (let ended = false; !ended;) {
    const { bytesRead } = await file.read(chunk, 0, CHUNK_BYTES, null);
    ended = bytesRead === 0;
    const bytes = Buffer.concat([start, chunk.subarray(0, bytesRead)]);
    start = Buffer.alloc(0);
    if (decoder === undefined && bytes.length < 2 && !ended) {
      start = bytes;
      continue;
    }
    decoder ??= new TextDecoder(encodingOf(bytes), { fatal: true });
    let text: string;
    try {
      text = decoder.decode(bytes, { stream: !ended });
    } catch (cause) {
      throw bad(path, `it is not ${decoder.encoding} text: save it as UTF-8`, cause);
    }
    if (text.includes('\0'))
      throw bad(path, 'it holds NUL characters, as UTF-16 without a byte order mark does: save it as UTF-8');
    yield text;
  }
}

/** The encoding that a byte order mark names, else UTF-8. */
function encodingOf(bytes: Buffer): string {
  const mark = bytes.toString('hex', 0, 2);
  return mark === 'fffe' ? 'utf-16le' : mark === 'feff' ? 'utf-16be' : 'utf-8';
}

function bad(path: string, why: string, cause?: unknown): TldrError {
  return new TldrError('INVALID_DATA', `${path}: ${why}`, { cause });
}
