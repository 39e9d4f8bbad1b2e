import { TldrError } from '../core/errors.js';
import { ProtoReader } from './protobuf.js';
import { readRegular, type RegularFile } from '../core/read-file.js';
import { writeWhole } from '../core/write-file.js';

/** Larger encoder files are neither written nor read. */
export const ENCODER_BYTES_MAX = 1024 ** 3;
/** Outermost fields in a file; an ONNX model has about ten. */
const OUTER_FIELDS_MAX = 1000;
/** Enough for the head of any field: two varints of at most ten bytes each. */
const FIELD_HEAD_BYTES = 32;

/**
 * Reads the bytes of an encoder file. It checks the heads of the outermost fields first: their lengths must
 * add up to the length of the file.
 * @throws NOT_FOUND when it cannot be read
 * @throws INVALID_ARGUMENT when it is no regular file
 * @throws INVALID_DATA when it is larger than any encoder, or its fields do not add up to its length
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
    const incomplete = (): TldrError =>
      new TldrError(
        'INVALID_DATA',
        `${path} is no encoder file of this program: no complete ONNX field at byte ${at} of ${sizeBytes}`,
      );
    const { bytesRead } = await file.read(head, 0, FIELD_HEAD_BYTES, at);
    const field = new ProtoReader(head.subarray(0, bytesRead), incomplete);
    if (!field.next() || fields === OUTER_FIELDS_MAX) throw incomplete();
    // The value itself may be behind what was read.
    const sizeOfValue = field.wireType === 2 ? field.number() : 0;
    if (field.wireType !== 2) field.skip();
    const end = at + field.at + sizeOfValue;
    if (end > sizeBytes) throw incomplete();
    at = end;
  }
}

/**
 * Writes an encoder file completely or not at all.
 * @throws INVALID_ARGUMENT when it cannot be written, or is too large for `readEncoderFile`
 */
export async function writeEncoderFile(path: string, bytes: Uint8Array): Promise<void> {
  if (bytes.length > ENCODER_BYTES_MAX)
    throw new TldrError(
      'INVALID_ARGUMENT',
      `${path}: ${bytes.length} bytes, but encoder files may have ${ENCODER_BYTES_MAX}: use fewer dimensions`,
    );
  await writeWhole(path, (file) => file.writeFile(bytes));
}
