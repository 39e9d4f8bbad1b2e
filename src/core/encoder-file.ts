import { constants } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import { messageOf, TldrError } from './errors.js';
import { fieldExtent } from './protobuf.js';
import { writeWhole } from './write-file.js';

const FILE_BYTES_MAX = 2 ** 31 - 1;
/** Larger encoder files are neither written nor read. */
export const ENCODER_BYTES_MAX = 1024 ** 3;
/** An ONNX model has about ten. */
const OUTER_FIELDS_MAX = 1000;
/** More than the head of any field takes: two numbers of ten bytes. */
const FIELD_HEAD_BYTES = 32;

/** A regular file, open for reading, with the size it had. */
export interface RegularFile {
  readonly file: FileHandle;
  readonly sizeBytes: number;
}

/**
 * Opens a regular file. A pipe, a device or a folder is refused at once: none of them has an end that is known, and
 * opening a pipe would wait for its writer.
 * @param expected what the file should be, for messages
 * @throws NOT_FOUND where it cannot be opened, INVALID_ARGUMENT where it is no regular file
 */
export async function openRegular(path: string, expected: string): Promise<RegularFile> {
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK).catch((cause: unknown) => {
    throw new TldrError('NOT_FOUND', `cannot open ${path}: ${messageOf(cause)}`, { cause });
  });
  const found = await file.stat();
  if (found.isFile()) return { file, sizeBytes: found.size };
  await file.close();
  const kind = found.isDirectory() ? 'a folder' : found.isFIFO() ? 'a pipe' : 'a device';
  throw new TldrError('INVALID_ARGUMENT', `${path} is ${kind}, expected ${expected}`);
}

/**
 * The bytes of a regular file, at most as many as it had when it was opened.
 * @throws NOT_FOUND, INVALID_ARGUMENT where it is no regular file, INVALID_DATA where it is larger than `maxBytes`,
 * and whatever `check` throws, which sees the file before it is read
 */
export async function readRegular(
  path: string,
  expected: string,
  limits: { readonly maxBytes?: number; readonly check?: (opened: RegularFile) => Promise<void> } = {},
): Promise<Buffer> {
  const { maxBytes = FILE_BYTES_MAX, check } = limits;
  const opened = await openRegular(path, expected);
  const { file, sizeBytes } = opened;
  try {
    if (sizeBytes > maxBytes)
      throw new TldrError(
        'INVALID_DATA',
        `${path}: ${sizeBytes} bytes is too large for ${expected}, expected at most ${maxBytes}`,
      );
    await check?.(opened);
    const bytes = Buffer.alloc(sizeBytes);
    let done = 0;
    while (done < sizeBytes) {
      const { bytesRead } = await file.read(bytes, done, sizeBytes - done, done);
      if (bytesRead === 0) break;
      done += bytesRead;
    }
    return bytes.subarray(0, done);
  } catch (cause) {
    if (cause instanceof TldrError) throw cause;
    throw new TldrError('NOT_FOUND', `cannot read ${path}: ${messageOf(cause)}`, { cause });
  } finally {
    await file.close();
  }
}

/**
 * The bytes of an encoder file. Before they are read, the heads of its outermost fields are: they say how long the
 * file has to be.
 * @throws NOT_FOUND, INVALID_ARGUMENT where it is no regular file, INVALID_DATA where it is larger than any encoder or
 * not as long as its fields promise
 */
export async function readEncoderFile(path: string): Promise<Uint8Array> {
  return readRegular(path, 'an encoder file', {
    maxBytes: ENCODER_BYTES_MAX,
    check: (opened) => checkOuterFields(path, opened),
  });
}

async function checkOuterFields(path: string, { file, sizeBytes }: RegularFile): Promise<void> {
  const head = Buffer.alloc(FIELD_HEAD_BYTES);
  let fields = 0;
  for (let at = 0; at < sizeBytes; fields++) {
    const { bytesRead } = await file.read(head, 0, FIELD_HEAD_BYTES, at);
    const extent = fieldExtent(head.subarray(0, bytesRead));
    if (extent === null || at + extent > sizeBytes || fields === OUTER_FIELDS_MAX)
      throw new TldrError(
        'INVALID_DATA',
        `${path} is no encoder file that train wrote: ${sizeBytes} bytes, which at byte ${at} are not what an ONNX model has`,
      );
    at += extent;
  }
}

/**
 * Writes an encoder file whole or not at all.
 * @throws INVALID_ARGUMENT when it cannot be written, or would be too large to be read
 */
export async function writeEncoderFile(path: string, bytes: Uint8Array): Promise<void> {
  if (bytes.length > ENCODER_BYTES_MAX)
    throw new TldrError(
      'INVALID_ARGUMENT',
      `${path}: an encoder of ${bytes.length} bytes would not be read again, expected at most ${ENCODER_BYTES_MAX}: give fewer dimensions`,
    );
  await writeWhole(path, (file) => file.writeFile(bytes));
}
