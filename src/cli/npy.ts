import { open, type FileHandle } from 'node:fs/promises';
import { writeWhole } from '../core/encoder-file.js';
import { messageOf, TldrError } from '../core/errors.js';
import { matrix, type Matrix } from '../core/matrix.js';

const MAGIC = '\x93NUMPY';
const HEADER_BYTES_MAX = 1024 ** 2;
const ROWS_PER_BLOCK = 4096;

/** An open .npy file of float32 or float16, N x D (numpy.lib.format, versions 1 to 3). */
export interface NpyFile {
  readonly rows: number;
  readonly cols: number;
  /** Rows start (included) to end (excluded), as float32. */
  read(start: number, end: number): Promise<Matrix>;
  close(): Promise<void>;
}

/**
 * Opens a .npy file and checks header and size.
 * @throws NOT_FOUND, INVALID_DATA for anything but a C-ordered little-endian N x D of float32 or float16
 */
export async function openNpy(path: string): Promise<NpyFile> {
  let file: FileHandle;
  try {
    file = await open(path, 'r');
  } catch (cause) {
    throw new TldrError('NOT_FOUND', `cannot open ${path}: ${messageOf(cause)}`, { cause });
  }
  try {
    const { dtype, rows, cols, dataAt } = await readHeader(file, path);
    const componentBytes = dtype === 'f4' ? 4 : 2;
    const { size } = await file.stat();
    const expected = dataAt + rows * cols * componentBytes;
    if (size !== expected) throw bad(path, `it has ${size} bytes, its header promises ${expected}`);
    return {
      rows,
      cols,
      read: async (start, end) => {
        const bytes = new Uint8Array((end - start) * cols * componentBytes);
        let at = 0;
        while (at < bytes.length) {
          const { bytesRead } = await file.read(
            bytes,
            at,
            bytes.length - at,
            dataAt + start * cols * componentBytes + at,
          );
          if (bytesRead === 0) throw bad(path, 'it ends early');
          at += bytesRead;
        }
        const data =
          dtype === 'f4' ? new Float32Array(bytes.buffer) : halfToFloat(new Uint16Array(bytes.buffer));
        return matrix(end - start, cols, data);
      },
      close: () => file.close(),
    };
  } catch (error) {
    await file.close();
    throw error;
  }
}

/** The whole file as one matrix. */
export async function readNpy(path: string): Promise<Matrix> {
  const file = await openNpy(path);
  try {
    const all = matrix(file.rows, file.cols);
    for (let start = 0; start < file.rows; start += ROWS_PER_BLOCK) {
      const block = await file.read(start, Math.min(file.rows, start + ROWS_PER_BLOCK));
      all.data.set(block.data, start * file.cols);
    }
    return all;
  } finally {
    await file.close();
  }
}

/**
 * Writes blocks of rows as one float32 .npy; the file appears under its name only when it is complete.
 * @throws INVALID_ARGUMENT when it cannot be written, for example on a full disk
 */
export async function writeNpy(
  path: string,
  shape: { readonly rows: number; readonly cols: number },
  blocks: AsyncIterable<Matrix> | Iterable<Matrix>,
): Promise<void> {
  await writeWhole(path, async (file) => {
    let written = 0;
    await file.writeFile(header(shape));
    for await (const { data, rows } of blocks) {
      await file.writeFile(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
      written += rows;
    }
    if (written !== shape.rows)
      throw new TldrError('INTERNAL', `${written} rows written, ${shape.rows} promised`);
  });
}

function header({ rows, cols }: { rows: number; cols: number }): Buffer {
  const text = `{'descr': '<f4', 'fortran_order': False, 'shape': (${rows}, ${cols}), }`;
  const padded = text.padEnd(Math.ceil((10 + text.length + 1) / 64) * 64 - 11) + '\n';
  const length = Buffer.alloc(2);
  length.writeUInt16LE(padded.length);
  return Buffer.concat([
    Buffer.from(MAGIC, 'latin1'),
    Buffer.from([1, 0]),
    length,
    Buffer.from(padded, 'latin1'),
  ]);
}

async function readHeader(
  file: FileHandle,
  path: string,
): Promise<{ dtype: 'f4' | 'f2'; rows: number; cols: number; dataAt: number }> {
  const start = Buffer.alloc(12);
  const { bytesRead } = await file.read(start, 0, 12, 0);
  if (bytesRead < 12 || start.toString('latin1', 0, 6) !== MAGIC)
    throw bad(path, 'it does not begin like one');
  const wide = (start[6] ?? 0) >= 2;
  const length = wide ? start.readUInt32LE(8) : start.readUInt16LE(8);
  const textAt = wide ? 12 : 10;
  if (length > HEADER_BYTES_MAX) throw bad(path, `its header claims ${length} bytes`);
  const text = Buffer.alloc(length);
  await file.read(text, 0, length, textAt);
  const fields = text.toString('latin1');
  const dtype = /'descr':\s*'([^']*)'/.exec(fields)?.[1];
  const shape = /'shape':\s*\(\s*(\d+)\s*,\s*(\d+)\s*,?\s*\)/.exec(fields);
  if (dtype !== '<f4' && dtype !== '<f2') {
    throw bad(path, `it holds ${dtype ?? 'an unknown type'}, expected float32 (<f4) or float16 (<f2)`);
  }
  if (!/'fortran_order':\s*False/.test(fields))
    throw bad(path, 'it is in Fortran order: save it with numpy.ascontiguousarray');
  const [rows, cols] = [Number(shape?.[1]), Number(shape?.[2])];
  if (!Number.isSafeInteger(rows) || !Number.isSafeInteger(cols) || cols < 1) {
    throw bad(
      path,
      `its shape is ${/'shape':\s*(\([^)]*\))/.exec(fields)?.[1] ?? 'unknown'}, expected (N, D)`,
    );
  }
  return { dtype: dtype === '<f4' ? 'f4' : 'f2', rows, cols, dataAt: textAt + length };
}

function bad(path: string, why: string): TldrError {
  return new TldrError('INVALID_DATA', `${path} is no usable .npy file: ${why}`);
}

/** IEEE 754 binary16 to float32. */
function halfToFloat(values: Uint16Array): Float32Array {
  return Float32Array.from(values, (bits) => {
    const sign = bits & 0x8000 ? -1 : 1;
    const exponent = (bits >> 10) & 31;
    const fraction = bits & 1023;
    if (exponent === 0) return sign * fraction * 2 ** -24;
    if (exponent === 31) return fraction === 0 ? sign * Infinity : Number.NaN;
    return sign * 2 ** (exponent - 15) * (1 + fraction / 1024);
  });
}
