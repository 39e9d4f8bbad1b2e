import { TldrError } from '../core/errors.js';
import { fieldExtent } from './protobuf.js';
import { readRegular, type RegularFile } from '../core/read-file.js';
import { writeWhole } from '../core/write-file.js';

/** Larger encoder files are neither written nor read. */
export const ENCODER_BYTES_MAX = 1024 ** 3;
/** An ONNX model has about ten. */
const OUTER_FIELDS_MAX = 1000;
/** More than the head of any field takes: two numbers of ten bytes. */
const FIELD_HEAD_BYTES = 32;

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
