import { readRegular } from '../../core/read-file.js';
import { codeOf, messageOf, TldrError } from '../../core/errors.js';
import { formatPointId, parsePointId, type PointId } from '../../core/point-id.js';
import { writeWhole } from '../../core/write-file.js';
import { isExplicit, type TrainEncoderOptions } from '../../select/train-encoder-options.js';
import { firstLayerBytes } from '../../select/training-schedules.js';
import { adam, lars } from '../../train/optimizers.js';
import { resolveSettings } from '../../train/run-training.js';
import { parseTrainState, trainStateParts, type TrainState } from '../../train/state.js';

/**
 * The state that a stopped `train` continues from: the points of its sample, and how far each training is.
 */
export interface TrainCheckpoint {
  /** Ids of the sample in its order; null if the sample came from a file. */
  readonly sampleIds: readonly PointId[] | null;
  readonly states: ReadonlyMap<string, TrainState>;
}

/** Larger checkpoints are neither written nor read. */
export const CHECKPOINT_BYTES_MAX = 2 ** 31 - 1;
/** Fewest trainings that are planned without explicit settings: for dot products, which need linear maps. */
const PLANNED_MIN = 2;
const MAGIC = 'TLDRCKP1';
const HEADER_AT = 12;

/**
 * Writes a checkpoint: magic, header length, JSON header, then the bytes of the states in order.
 * @throws INVALID_ARGUMENT when it cannot be written, or is too large for `readCheckpoint`; an existing file
 * then stays as it was
 */
export async function writeCheckpoint(
  path: string,
  { sampleIds, states }: TrainCheckpoint,
  maxBytes = CHECKPOINT_BYTES_MAX,
): Promise<void> {
  const bodies = [...states].map(([name, state]) => {
    const parts = trainStateParts(state);
    return { name, parts, sizeBytes: bytesOf(parts) };
  });
  const header = Buffer.from(
    JSON.stringify({
      sampleIds: sampleIds?.map(formatPointId) ?? null,
      states: bodies.map(({ name, sizeBytes }) => ({ name, sizeBytes })),
    }),
  );
  const length = Buffer.alloc(4);
  length.writeUInt32LE(header.length);
  const content = [Buffer.from(MAGIC), length, header, ...bodies.flatMap(({ parts }) => parts)];
  const sizeBytes = bytesOf(content);
  if (sizeBytes > maxBytes) throw tooLarge(path, { sizeBytes, maxBytes });
  await writeWhole(path, async (file) => {
    for (const part of content) await file.writeFile(part);
  });
}

/**
 * Checks before a training that its states can fit into a checkpoint. Each state holds the weights, and as
 * many values again for each slot of the optimiser.
 * @throws INVALID_ARGUMENT when even the first layers alone are too large
 */
export function checkCheckpointSize(path: string, options: TrainEncoderOptions, inputDim: number): void {
  const { encoder, optimizer } = resolveSettings(options);
  const { slotsPerParameter } = optimizer === 'adam' ? adam() : lars();
  // A residual encoder may read few directions, but it has a linear part as well.
  const form = encoder.startsWith('residual') ? 'linear' : encoder;
  const layerBytes = firstLayerBytes(form, { inputDim, outputDim: options.dim });
  const trainings = isExplicit(options) ? 1 : PLANNED_MIN;
  const sizeBytes = trainings * (1 + slotsPerParameter) * layerBytes;
  if (sizeBytes > CHECKPOINT_BYTES_MAX) throw tooLarge(path, { sizeBytes, maxBytes: CHECKPOINT_BYTES_MAX });
}

function bytesOf(parts: readonly Uint8Array[]): number {
  return parts.reduce((sum, { length }) => sum + length, 0);
}

function tooLarge(
  path: string,
  { sizeBytes, maxBytes }: { readonly sizeBytes: number; readonly maxBytes: number },
): TldrError {
  return new TldrError(
    'INVALID_ARGUMENT',
    `the checkpoint ${path} is not written: it would have at least ${sizeBytes} bytes, and checkpoints may have ${maxBytes}. A file that is there stays as it was. Give fewer dimensions (--dim), or train without --checkpoint`,
  );
}

/**
 * Returns the checkpoint in a file, or null if the file does not exist yet.
 * @throws INVALID_ARGUMENT when the file cannot be read, INVALID_DATA when it is not a checkpoint
 */
export async function readCheckpoint(
  path: string,
  maxBytes = CHECKPOINT_BYTES_MAX,
): Promise<TrainCheckpoint | null> {
  let bytes: Buffer;
  try {
    bytes = await readRegular(path, 'a training checkpoint', { maxBytes });
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
