import { readRegular } from '../../core/read-file.js';
import { codeOf, messageOf, TldrError } from '../../core/errors.js';
import { formatPointId, parsePointId, type PointId } from '../../core/point-id.js';
import { writeWhole } from '../../core/write-file.js';
import { parseTrainState, serializeTrainState, type TrainState } from '../../train/state.js';

/**
 * The state that a stopped `train` continues from: the points of its sample, and how far each training is.
 */
export interface TrainCheckpoint {
  /** Ids of the sample in its order; null if the sample came from a file. */
  readonly sampleIds: readonly PointId[] | null;
  readonly states: ReadonlyMap<string, TrainState>;
}

const MAGIC = 'TLDRCKP1';
const HEADER_AT = 12;

/** Writes a checkpoint: magic, header length, JSON header, then the bytes of the states in order. */
export async function writeCheckpoint(path: string, { sampleIds, states }: TrainCheckpoint): Promise<void> {
  const parts = [...states].map(([name, state]) => ({ name, bytes: serializeTrainState(state) }));
  const header = Buffer.from(
    JSON.stringify({
      sampleIds: sampleIds?.map(formatPointId) ?? null,
      states: parts.map(({ name, bytes }) => ({ name, sizeBytes: bytes.length })),
    }),
  );
  const length = Buffer.alloc(4);
  length.writeUInt32LE(header.length);
  const content = Buffer.concat([Buffer.from(MAGIC), length, header, ...parts.map(({ bytes }) => bytes)]);
  await writeWhole(path, (file) => file.writeFile(content));
}

/**
 * Returns the checkpoint in a file, or null if the file does not exist yet.
 * @throws INVALID_ARGUMENT when the file cannot be read, INVALID_DATA when it is not a checkpoint
 */
export async function readCheckpoint(path: string): Promise<TrainCheckpoint | null> {
  let bytes: Buffer;
  try {
    bytes = await readRegular(path, 'a training checkpoint');
  } catch (cause) {
    if (cause instanceof TldrError && codeOf(cause.cause) === 'ENOENT') return null;
    throw new TldrError('INVALID_ARGUMENT', `cannot read the checkpoint ${path}: ${messageOf(cause)}`, {
      cause,
    });
  }
  if (bytes.length < HEADER_AT || bytes.toString('latin1', 0, MAGIC.length) !== MAGIC)
    throw damaged(path, `its first bytes are not ${MAGIC}`);
  const bodyAt = HEADER_AT + bytes.readUInt32LE(MAGIC.length);
  const header = parseHeader(bytes.toString('utf8', HEADER_AT, bodyAt));
  if (header === null) throw damaged(path, 'its header is damaged');
  const states = new Map<string, TrainState>();
  let at = bodyAt;
  for (const { name, sizeBytes } of header.states) {
    states.set(name, parseTrainState(bytes.subarray(at, at + sizeBytes)));
    at += sizeBytes;
  }
  if (at !== bytes.length) throw damaged(path, `it has ${bytes.length} bytes, expected ${at}`);
  return { sampleIds: header.sampleIds?.map(parsePointId) ?? null, states };
}

function damaged(path: string, why: string): TldrError {
  return new TldrError(
    'INVALID_DATA',
    `${path} is not a training checkpoint: ${why}; give another --checkpoint file`,
  );
}

interface Header {
  readonly sampleIds: readonly string[] | null;
  readonly states: readonly { readonly name: string; readonly sizeBytes: number }[];
}

function parseHeader(json: string): Header | null {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch {
    return null;
  }
  return isHeader(value) ? value : null;
}

function isHeader(value: unknown): value is Header {
  if (typeof value !== 'object' || value === null) return false;
  const fields = new Map<string, unknown>(Object.entries(value));
  const [ids, states] = [fields.get('sampleIds'), fields.get('states')];
  return (
    (ids === null || (Array.isArray(ids) && ids.every((id) => typeof id === 'string'))) &&
    Array.isArray(states) &&
    states.every((one: unknown) => {
      if (typeof one !== 'object' || one === null || !('name' in one) || !('sizeBytes' in one)) return false;
      return typeof one.name === 'string' && Number.isSafeInteger(one.sizeBytes);
    })
  );
}
