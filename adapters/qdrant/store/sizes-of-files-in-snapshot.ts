import { TldrError } from '../../../src/core/errors.js';
import { throwIfAborted, type RunOptions } from '../../../src/core/run-options.js';

const BLOCK_BYTES = 512;
const WINDOW_BYTES = 32 * 1024;

/** Returns bytes `from` (included) to `to` (excluded). */
export type ReadRange = (from: number, to: number) => Promise<Buffer>;

/**
 * Returns the names and stored sizes of the files in a tar archive and in the archives inside it. It reads
 * only headers (POSIX ustar with GNU sparse files, whose holes take no room).
 * @throws UNSUPPORTED for a header of another kind
 */
export async function tarSizes(
  read: ReadRange,
  sizeBytes: number,
  run: RunOptions = {},
): Promise<ReadonlyMap<string, number>> {
  const sizes = new Map<string, number>();
  let window: { readonly from: number; readonly bytes: Buffer } = { from: 0, bytes: Buffer.alloc(0) };
  const block = async (at: number): Promise<Buffer> => {
    if (at < window.from || at + BLOCK_BYTES > window.from + window.bytes.length) {
      throwIfAborted(run.signal);
      window = { from: at, bytes: await read(at, Math.min(sizeBytes, at + WINDOW_BYTES)) };
    }
    return window.bytes.subarray(at - window.from, at - window.from + BLOCK_BYTES);
  };
  const walk = async (start: number, end: number, prefix: string): Promise<void> => {
    for (let at = start; at + BLOCK_BYTES <= end;) {
      const header = await block(at);
      if (header.length < BLOCK_BYTES || header[0] === 0) return;
      if (header.toString('latin1', 257, 262) !== 'ustar')
        throw new TldrError('UNSUPPORTED', `a snapshot holds an entry of an unknown form at byte ${at}`);
      const name = prefix + text(header, 345, 155, header[156] !== SPARSE) + text(header, 0, 100, true);
      const stored = octal(header, 124, 12);
      let data = at + BLOCK_BYTES;
      // Maps of many holes continue in further blocks. Byte 482, then byte 504 of each, says whether another
      // follows.
      for (let more = header[156] === SPARSE && header[482] !== 0; more; data += BLOCK_BYTES)
        more = (await block(data))[504] !== 0;
      if (name.endsWith('.tar')) await walk(data, data + stored, `${name}/`);
      else sizes.set(name, stored);
      at = data + Math.ceil(stored / BLOCK_BYTES) * BLOCK_BYTES;
    }
  };
  await walk(0, sizeBytes, '');
  return sizes;
}

const SPARSE = 'S'.charCodeAt(0);

function text(header: Buffer, at: number, length: number, wanted: boolean): string {
  if (!wanted) return '';
  const raw = header.subarray(at, at + length);
  const end = raw.indexOf(0);
  const value = raw.toString('utf8', 0, end < 0 ? length : end);
  return at === 345 && value !== '' ? `${value}/` : value;
}

/** Returns a number from octal text, or from big-endian binary if the first bit is set. */
function octal(header: Buffer, at: number, length: number): number {
  if ((header.readUInt8(at) & 0x80) !== 0) return Number(header.readBigUInt64BE(at + length - 8));
  return Number.parseInt(header.toString('latin1', at, at + length).trim(), 8) || 0;
}
