import { open, type FileHandle } from 'node:fs/promises';
import { crc32 } from 'node:zlib';
import { TldrError } from '../../core/errors.js';

/**
 * Bytes of a frame's head: content length, its CRC-32, and a CRC-32 of both to tell damage from a torn end.
 */
export const FRAME_HEAD_BYTES = 12;
/** Most content bytes of a frame. No larger frame is written or read. */
export const FRAME_BYTES_MAX = 64 * 1024 ** 2;
/** Bytes per read of a sequential reader: one call per entry would take most of the time. */
export const BLOCK_BYTES = 1024 ** 2;

/** Position of an entry in a file. */
export interface Place {
  readonly at: number;
  readonly length: number;
}

/** Returns the bytes of a frame with this content. */
export function frameOf(content: Buffer): Buffer {
  const head = Buffer.alloc(FRAME_HEAD_BYTES);
  head.writeUInt32LE(content.length, 0);
  head.writeUInt32LE(crc32(content), 4);
  head.writeUInt32LE(crc32(head.subarray(0, 8)), 8);
  return Buffer.concat([head, content]);
}

/** Yields the parts in their order, as many together as fit into a frame. Each part alone must fit. */
export function* framesOf<Part extends { readonly bytes: Buffer }>(
  parts: readonly Part[],
): Generator<readonly Part[]> {
  let frame: Part[] = [];
  let sizeBytes = 0;
  for (const part of parts) {
    if (sizeBytes + part.bytes.length > FRAME_BYTES_MAX) {
      yield frame;
      [frame, sizeBytes] = [[], 0];
    }
    frame.push(part);
    sizeBytes += part.bytes.length;
  }
  if (frame.length > 0) yield frame;
}

/** Returns the bytes at a position. @throws INVALID_DATA when the file ends before */
export async function readAt(file: FileHandle, { at, length }: Place, name: string): Promise<Buffer> {
  const bytes = Buffer.alloc(length);
  const { bytesRead } = await file.read(bytes, 0, length, at);
  if (bytesRead !== length) throw cutShort(name);
  return bytes;
}

function cutShort(name: string): TldrError {
  return new TldrError('INVALID_DATA', `${name} was cut short`);
}

/**
 * Reads a file in blocks, so that neighbouring positions cost one read. The file must not change meanwhile.
 */
export class BlockReader {
  readonly #file: FileHandle;
  readonly #name: string;
  #block = Buffer.alloc(0);
  #from = 0;

  /** @param name of the file, for errors */
  constructor(file: FileHandle, name: string) {
    this.#file = file;
    this.#name = name;
  }

  /** Returns the bytes at a position. @throws INVALID_DATA when the file ends before */
  async bytesAt({ at, length }: Place): Promise<Buffer> {
    const start = at - this.#from;
    if (start < 0 || start + length > this.#block.length) {
      const block = Buffer.alloc(Math.max(length, BLOCK_BYTES));
      const { bytesRead } = await this.#file.read(block, 0, block.length, at);
      [this.#block, this.#from] = [block.subarray(0, bytesRead), at];
    }
    const first = at - this.#from;
    if (first + length > this.#block.length) throw cutShort(this.#name);
    return this.#block.subarray(first, first + length);
  }

  /** Returns the content of the frame at `at`. A frame is torn if it is the last one and incomplete. */
  async frameAt(at: number, size: number): Promise<Buffer | 'torn' | 'damaged'> {
    if (at + FRAME_HEAD_BYTES > size) return 'torn';
    const head = await this.bytesAt({ at, length: FRAME_HEAD_BYTES });
    const [length, contentCrc] = [head.readUInt32LE(0), head.readUInt32LE(4)];
    if (crc32(head.subarray(0, 8)) !== head.readUInt32LE(8) || length > FRAME_BYTES_MAX)
      return (await this.#isZeroFrom(at, size)) ? 'torn' : 'damaged';
    const end = at + FRAME_HEAD_BYTES + length;
    if (end > size) return 'torn';
    const content = await this.bytesAt({ at: at + FRAME_HEAD_BYTES, length });
    if (crc32(content) === contentCrc) return content;
    return end === size ? 'torn' : 'damaged';
  }

  /** A file system may make the file longer before it writes the content; then the end is all zeros. */
  async #isZeroFrom(at: number, size: number): Promise<boolean> {
    for (let from = at; from < size; from += BLOCK_BYTES) {
      const bytes = await this.bytesAt({ at: from, length: Math.min(BLOCK_BYTES, size - from) });
      if (bytes.some((byte) => byte !== 0)) return false;
    }
    return true;
  }
}

/** Opens the journal file, a new one if there is none. @throws INVALID_ARGUMENT for a pipe or a device */
export async function openJournal(path: string): Promise<FileHandle> {
  const file = await open(path, 'a+');
  if ((await file.stat()).isFile()) return file;
  await file.close();
  throw new TldrError('INVALID_ARGUMENT', `the journal ${path} is not a regular file: give another folder`);
}
