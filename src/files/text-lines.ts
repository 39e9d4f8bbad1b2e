import { TextDecoder } from 'node:util';
import { expectDefined, messageOf, TldrError } from '../core/errors.js';
import { throwIfAborted } from '../core/run-options.js';
import { openInput } from './input-stream.js';

/** One line of a text file, counted from 1. */
export interface TextLine {
  readonly number: number;
  readonly text: string;
}

/** Larger text would take many minutes to read. */
const TEXT_BYTES_MAX = 1024 ** 3;
const LINE_CHARS_MAX = 16 * 1024 ** 2;

/**
 * Yields the lines of a text file, a pipe or, for a dash, standard input, in the encodings of `linesOf`.
 * @throws NOT_FOUND when it cannot be read
 * @throws INVALID_ARGUMENT for a folder, a socket or a device
 * @throws INVALID_DATA when it is no text in these encodings, or too large
 * @throws ABORTED as soon as the signal fires
 */
export async function* textLines(path: string, signal?: AbortSignal): AsyncGenerator<TextLine> {
  const { stream, sizeBytes } = await openInput(path, signal);
  const limit = {
    sizeBytes: TEXT_BYTES_MAX,
    why: `it has more than ${TEXT_BYTES_MAX} bytes: give a smaller one, or a .npy file`,
  };
  if (sizeBytes !== null && sizeBytes > TEXT_BYTES_MAX) {
    stream.destroy();
    throw bad(path, limit.why);
  }
  try {
    yield* linesOf(stream as AsyncIterable<Uint8Array>, path, limit);
  } catch (cause) {
    if (cause instanceof TldrError) throw cause;
    throwIfAborted(signal);
    throw new TldrError('NOT_FOUND', `cannot read ${path}: ${messageOf(cause)}`, { cause });
  }
}

/** The largest text, and the error's reason for a larger one. */
export interface TextLimit {
  readonly sizeBytes: number;
  readonly why: string;
}

/**
 * Yields the lines of a text that arrives in chunks. A line ends with LF, CR LF or CR. The text is UTF-8, or
 * UTF-16 with a byte order mark, as some programs for Windows write it.
 * @param name the source's name, for errors
 * @throws INVALID_DATA when it is no text in these encodings, or a line has more than 16 Mi characters
 */
export async function* linesOf(
  chunks: AsyncIterable<Uint8Array>,
  name: string,
  limit?: TextLimit,
): AsyncGenerator<TextLine> {
  let number = 0;
  let rest = '';
  let carried = '';
  for await (const text of decodedText(chunks, name, limit)) {
    // A CR at the end may be the first half of a CR LF.
    const joined = carried + text;
    carried = joined.endsWith('\r') ? '\r' : '';
    const lines = joined.slice(0, joined.length - carried.length).split(/\r\n|\n|\r/);
    // Only new text is split, since a long line may arrive in many pieces.
    lines[0] = rest + expectDefined(lines[0], 'the first line');
    rest = expectDefined(lines.pop(), 'the last line');
    for (const line of lines) yield { number: ++number, text: line };
    if (rest.length > LINE_CHARS_MAX)
      throw bad(name, `line ${number + 1} is longer than ${LINE_CHARS_MAX} characters`);
  }
  if (rest + carried !== '') yield { number: ++number, text: rest };
}

/** Decodes a text in the encodings of `linesOf`, chunk by chunk. @throws INVALID_DATA for any other bytes */
export async function* decodedText(
  chunks: AsyncIterable<Uint8Array>,
  name: string,
  limit?: TextLimit,
): AsyncGenerator<string> {
  let decoder: TextDecoder | undefined;
  let start = Buffer.alloc(0);
  let sizeBytes = 0;
  const decode = (bytes: Buffer, ended: boolean): string => {
    decoder ??= new TextDecoder(encodingOf(bytes), { fatal: true });
    let text: string;
    try {
      text = decoder.decode(bytes, { stream: !ended });
    } catch (cause) {
      throw bad(name, `it is not ${decoder.encoding} text: save it as UTF-8`, cause);
    }
    if (text.includes('\0'))
      throw bad(name, 'it holds NUL characters, as UTF-16 without a byte order mark does: save it as UTF-8');
    return text;
  };
  for await (const chunk of chunks) {
    sizeBytes += chunk.length;
    if (limit !== undefined && sizeBytes > limit.sizeBytes) throw bad(name, limit.why);
    const bytes = Buffer.concat([start, chunk]);
    // A byte order mark has two bytes.
    start = decoder === undefined && bytes.length < 2 ? bytes : Buffer.alloc(0);
    if (start.length === 0) yield decode(bytes, false);
  }
  yield decode(start, true);
}

/** The encoding that a byte order mark names, else UTF-8. */
function encodingOf(bytes: Buffer): string {
  const mark = bytes.toString('hex', 0, 2);
  return mark === 'fffe' ? 'utf-16le' : mark === 'feff' ? 'utf-16be' : 'utf-8';
}

function bad(path: string, why: string, cause?: unknown): TldrError {
  return new TldrError('INVALID_DATA', `${path}: ${why}`, { cause });
}
