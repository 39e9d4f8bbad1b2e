import type { FileHandle } from 'node:fs/promises';
import { openRegular, readFully } from '../core/read-file.js';
import { messageOf, TldrError } from '../core/errors.js';
import { matrix, type Matrix } from '../core/matrix.js';
import { throwIfAborted } from '../core/run-options.js';
import { writePrivate, writeWhole } from '../core/write-file.js';
import { isDict, isList, parsePythonLiteral, type PythonValue } from './python-literal.js';
import { readAllVectors, type ShapeCheck, type VectorFile } from './vector-file.js';

const MAGIC = '\x93NUMPY';
const HEADER_BYTES_MAX = 1024 ** 2;
const HEADER_KEYS = ['descr', 'fortran_order', 'shape'] as const;
const INTEGERS_PER_BLOCK = 65_536;

/**
 * Opens a .npy file of float32 or float16, N x D (numpy.lib.format, versions 1 to 3), and checks its header and size.
 * @throws NOT_FOUND when it cannot be opened
 * @throws INVALID_DATA for anything but N x D of float32 or float16, little-endian and in C order
 */
export async function openNpy(path: string): Promise<VectorFile> {
  const { file } = await openRegular(path, 'a .npy file');
  try {
    const header = await readHeader(file, path);
    const { dtype, rows, cols, dataAt } = floatTable(header, path);
    const componentBytes = dtype === 'f4' ? 4 : 2;
    await checkSize(file, path, dataAt + rows * cols * componentBytes);
    return {
      rows,
      cols,
      read: async (start, end) => {
        const bytes = new Uint8Array((end - start) * cols * componentBytes);
        await readNpyBytes(file, path, { bytes, at: dataAt + start * cols * componentBytes });
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

/**
 * Reads the whole file as one matrix.
 * @throws NOT_FOUND when it cannot be opened
 * @throws INVALID_DATA when it is no such file, or holds too many numbers for one matrix
 * @throws ABORTED as soon as the signal fires
 * @throws any error of `check`, which runs before the values are read
 */
export async function readNpy(path: string, signal?: AbortSignal, check?: ShapeCheck): Promise<Matrix> {
  return readAllVectors(path, await openNpy(path), { signal, check });
}

/** Size and reader of each integer type, by NumPy's name for it. */
const INTEGER_TYPES = new Map<string, { bytes: number; read: (view: DataView, at: number) => bigint }>([
  ['|i1', { bytes: 1, read: (view, at) => BigInt(view.getInt8(at)) }],
  ['|u1', { bytes: 1, read: (view, at) => BigInt(view.getUint8(at)) }],
  ['<i2', { bytes: 2, read: (view, at) => BigInt(view.getInt16(at, true)) }],
  ['<u2', { bytes: 2, read: (view, at) => BigInt(view.getUint16(at, true)) }],
  ['<i4', { bytes: 4, read: (view, at) => BigInt(view.getInt32(at, true)) }],
  ['<u4', { bytes: 4, read: (view, at) => BigInt(view.getUint32(at, true)) }],
  ['<i8', { bytes: 8, read: (view, at) => view.getBigInt64(at, true) }],
  ['<u8', { bytes: 8, read: (view, at) => view.getBigUint64(at, true) }],
]);

/**
 * Reads a .npy file of whole numbers with one axis, such as labels or row numbers.
 * @param checkRows runs before the numbers are read, and throws if they are too many or too few
 * @throws NOT_FOUND when it cannot be opened
 * @throws INVALID_DATA for anything but a little-endian integer type and shape (N,)
 * @throws ABORTED as soon as the signal fires
 */
export async function readNpyIntegers(
  path: string,
  checkRows: (rows: number) => void,
  signal?: AbortSignal,
): Promise<bigint[]> {
  const { file } = await openRegular(path, 'a .npy file');
  try {
    const { descr, shape, shapeText, dataAt } = await readHeader(file, path);
    const type = INTEGER_TYPES.get(descr);
    if (type === undefined) {
      const [found, way] = descr.startsWith('>')
        ? [`${descr} in big endian order`, ": save it as x.astype('<i8')"]
        : [descr, ''];
      throw bad(path, `it holds ${found}, expected whole numbers (i1 to i8 or u1 to u8)${way}`);
    }
    const [rows] = shape;
    if (shape.length !== 1 || rows === undefined) throw bad(path, `its shape is ${shapeText}, expected (N,)`);
    await checkSize(file, path, dataAt + rows * type.bytes);
    checkRows(rows);
    const values: bigint[] = [];
    const block = new Uint8Array(Math.min(rows, INTEGERS_PER_BLOCK) * type.bytes);
    const view = new DataView(block.buffer);
    while (values.length < rows) {
      throwIfAborted(signal);
      const bytes = block.subarray(0, (rows - values.length) * type.bytes);
      await readNpyBytes(file, path, { bytes, at: dataAt + values.length * type.bytes });
      for (let at = 0; at < bytes.length; at += type.bytes) values.push(type.read(view, at));
    }
    return values;
  } finally {
    await file.close();
  }
}

/**
 * Writes blocks of rows as one float32 .npy file. The file gets its name only when it is complete.
 * @param shape with `isPrivate`, only this process's user may read the file
 * @throws INVALID_ARGUMENT when it cannot be written, for example on a full disk
 */
export async function writeNpy(
  path: string,
  shape: { readonly rows: number; readonly cols: number; readonly isPrivate?: boolean },
  blocks: AsyncIterable<Matrix> | Iterable<Matrix>,
): Promise<void> {
  const write = shape.isPrivate === true ? writePrivate : writeWhole;
  await write(path, async (file) => {
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

async function checkSize(file: FileHandle, path: string, expected: number): Promise<void> {
  const { size } = await file.stat();
  if (size !== expected) throw bad(path, `it has ${size} bytes, its header promises ${expected}`);
}

async function readNpyBytes(
  file: FileHandle,
  path: string,
  place: { readonly bytes: Uint8Array; readonly at: number },
): Promise<void> {
  await readFully(file, { ...place, ended: () => bad(path, 'it ends early') });
}

interface NpyHeader {
  /** NumPy's name of the type, for example `<f4`; "several fields" for a structured type. */
  readonly descr: string;
  readonly shape: readonly number[];
  readonly shapeText: string;
  readonly fortran: boolean;
  readonly dataAt: number;
}

async function readHeader(file: FileHandle, path: string): Promise<NpyHeader> {
  const start = Buffer.alloc(12);
  const { bytesRead } = await file.read(start, 0, 12, 0);
  if (bytesRead < 12 || start.toString('latin1', 0, 6) !== MAGIC)
    throw bad(path, 'it does not begin with \\x93NUMPY');
  const [major, minor] = start.subarray(6, 8);
  if (!(major === 1 || major === 2 || major === 3) || minor !== 0)
    throw bad(path, `its format has version ${major}.${minor}, expected 1.0, 2.0 or 3.0`);
  const length = major === 1 ? start.readUInt16LE(8) : start.readUInt32LE(8);
  const textAt = major === 1 ? 10 : 12;
  if (length > HEADER_BYTES_MAX) throw bad(path, `its header claims ${length} bytes`);
  const text = Buffer.alloc(length);
  await readNpyBytes(file, path, { bytes: text, at: textAt });
  return { ...parseFields(text.toString(major === 3 ? 'utf8' : 'latin1'), path), dataAt: textAt + length };
}

/** The fields of the dictionary in the header. */
function parseFields(text: string, path: string): Omit<NpyHeader, 'dataAt'> {
  let fields: PythonValue;
  try {
    fields = parsePythonLiteral(text);
  } catch (cause) {
    throw bad(path, `its header cannot be read: ${messageOf(cause)}`);
  }
  if (!isDict(fields)) throw bad(path, 'its header is no dictionary');
  const [descr, fortran, shape] = HEADER_KEYS.map((key) => fields.get(key));
  if (fields.size !== HEADER_KEYS.length || descr === undefined || shape === undefined)
    throw bad(
      path,
      `its header has the keys ${[...fields.keys()].join(', ')}, expected ${HEADER_KEYS.join(', ')}`,
    );
  if (typeof fortran !== 'boolean') throw bad(path, 'fortran_order is neither True nor False in its header');
  const shapeText = isList(shape)
    ? tupleText(shape)
    : typeof shape === 'bigint'
      ? String(shape)
      : `a ${typeof shape}`;
  const sizes = isList(shape) ? shape.map(sizeOf) : [];
  if (!isList(shape) || sizes.includes(-1))
    throw bad(path, `its shape is ${shapeText}, expected whole numbers from 0`);
  return { descr: typeof descr === 'string' ? descr : 'several fields', fortran, shape: sizes, shapeText };
}

function tupleText(values: readonly PythonValue[]): string {
  return `(${values.map(String).join(', ')}${values.length === 1 ? ',' : ''})`;
}

/** The size of an axis, or -1 if the value is no size. */
function sizeOf(value: PythonValue): number {
  return typeof value === 'bigint' && value >= 0n && value <= Number.MAX_SAFE_INTEGER ? Number(value) : -1;
}

/** The type and shape from a header. @throws INVALID_DATA for anything but N x D of float32 or float16 */
function floatTable(
  { descr, shape, shapeText, fortran, dataAt }: NpyHeader,
  path: string,
): { dtype: 'f4' | 'f2'; rows: number; cols: number; dataAt: number } {
  if (descr !== '<f4' && descr !== '<f2') {
    const bigEndian = descr.startsWith('>') ? ' in big endian order' : '';
    throw bad(
      path,
      `it holds ${descr}${bigEndian}, expected float32 (<f4) or float16 (<f2): save it as x.astype('<f4')`,
    );
  }
  const [rows, cols] = shape;
  if (shape.length !== 2 || rows === undefined || cols === undefined || cols < 1)
    throw bad(path, `its shape is ${shapeText}, expected (N, D)`);
  if (fortran) throw bad(path, 'it is in Fortran order: save it with numpy.ascontiguousarray');
  return { dtype: descr === '<f4' ? 'f4' : 'f2', rows, cols, dataAt };
}

function bad(path: string, why: string): TldrError {
  return new TldrError('INVALID_DATA', `${path} is no usable .npy file: ${why}`);
}

/** Converts IEEE 754 binary16 to float32 by a table of all 65,536 values, which is computed once. */
function halfToFloat(values: Uint16Array): Float32Array {
  floatOfHalf ??= Float32Array.from({ length: 1 << 16 }, (_, bits) => {
    const sign = bits & 0x8000 ? -1 : 1;
    const exponent = (bits >> 10) & 31;
    const fraction = bits & 1023;
    if (exponent === 0) return sign * fraction * 2 ** -24;
    if (exponent === 31) return fraction === 0 ? sign * Infinity : Number.NaN;
    return sign * 2 ** (exponent - 15) * (1 + fraction / 1024);
  });
  const floats = new Float32Array(values.length);
  for (let i = 0; i < values.length; i++) floats[i] = floatOfHalf[values[i]!]!;
  return floats;
}

let floatOfHalf: Float32Array | undefined;
