import { constants } from 'node:buffer';
import * as v from 'valibot';
import { checkJson } from '../../core/check-schema.js';
import { openRegular, readFully } from '../../core/read-file.js';
import { codeOf, messageOf, TldrError } from '../../core/errors.js';
import { throwIfAborted } from '../../core/run-options.js';
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
  /** Ids of the sample in its order, as text; null if the sample came from a file. */
  readonly sampleIds: readonly string[] | null;
  readonly states: ReadonlyMap<string, TrainState>;
  /** Hash of the command that it belongs to; absent in a file that the user named. */
  readonly request?: string | undefined;
}

/** Larger checkpoints are neither written nor read. */
export const CHECKPOINT_BYTES_MAX = 2 ** 31 - 1;
/** Fewest trainings that are planned without explicit settings: for dot products, which need linear maps. */
const PLANNED_MIN = 2;
const MAGIC = 'TLDRCKP1';
const HEADER_AT = 12;

const HEADER = v.object({
  // One check for the whole list, since a sample may have millions of ids.
  sampleIds: v.nullable(
    v.custom<readonly string[]>(
      (ids) => Array.isArray(ids) && ids.every((id) => typeof id === 'string'),
      'expected a list of ids as text',
    ),
  ),
  request: v.optional(v.string()),
  states: v.array(
    v.object({ name: v.string(), sizeBytes: v.pipe(v.number(), v.safeInteger(), v.minValue(0)) }),
  ),
});

/**
 * Writes a checkpoint: magic, header length, JSON header, then the bytes of the states in order.
 * @throws INVALID_ARGUMENT when it cannot be written, or is too large for `readCheckpoint`; an existing file
 * then stays as it was
 */
export async function writeCheckpoint(
  path: string,
  { sampleIds, states, request }: TrainCheckpoint,
  maxBytes = CHECKPOINT_BYTES_MAX,
): Promise<void> {
  const bodies = [...states].map(([name, state]) => {
    const parts = trainStateParts(state);
    return { name, parts, sizeBytes: bytesOf(parts) };
  });
  const header = Buffer.from(
    JSON.stringify({
      sampleIds,
      request,
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
 * Returns the checkpoint in a file, or null if the file does not exist yet. The head and the header are
 * checked before the states are read.
 * @throws INVALID_ARGUMENT when the file cannot be read, INVALID_DATA when it is not a checkpoint
 * @throws ABORTED as soon as the signal fires
 */
export async function readCheckpoint(
  path: string,
  maxBytes = CHECKPOINT_BYTES_MAX,
  signal?: AbortSignal,
): Promise<TrainCheckpoint | null> {
  try {
    const { file, sizeBytes } = await openRegular(path, 'a training checkpoint');
    try {
      const read = async (at: number, length: number): Promise<Buffer> => {
        throwIfAborted(signal);
        const bytes = Buffer.alloc(length);
        await readFully(file, {
          bytes,
          at,
          ended: () => damaged(path, `it ends before byte ${at + length}`),
        });
        return bytes;
      };
      if (sizeBytes > maxBytes)
        throw damaged(path, `${sizeBytes} bytes are too large, expected at most ${maxBytes}`);
      return await readParts({ path, sizeBytes, read });
    } finally {
      await file.close();
    }
  } catch (cause) {
    if (cause instanceof TldrError && codeOf(cause.cause) === 'ENOENT') return null;
    if (cause instanceof TldrError && (cause.code === 'INVALID_DATA' || cause.code === 'ABORTED'))
      throw cause;
    throw new TldrError('INVALID_ARGUMENT', `cannot read the checkpoint ${path}: ${messageOf(cause)}`, {
      cause,
    });
  }
}

/** An open file, and how to read bytes of it. */
interface OpenCheckpoint {
  readonly path: string;
  readonly sizeBytes: number;
  readonly read: (at: number, length: number) => Promise<Buffer>;
}

async function readParts({ path, sizeBytes, read }: OpenCheckpoint): Promise<TrainCheckpoint> {
  const head = await read(0, Math.min(HEADER_AT, sizeBytes));
  if (head.length < HEADER_AT || head.toString('latin1', 0, MAGIC.length) !== MAGIC)
    throw damaged(path, `its first bytes are not ${MAGIC}`);
  const headerBytes = head.readUInt32LE(MAGIC.length);
  if (headerBytes > Math.min(constants.MAX_STRING_LENGTH, sizeBytes - HEADER_AT))
    throw damaged(path, `its header claims ${headerBytes} bytes`);
  const header = checkJson(HEADER, (await read(HEADER_AT, headerBytes)).toString('utf8'), {
    refuse: (problem) => damaged(path, `its header is damaged: ${problem}`),
  });
  let at = HEADER_AT + headerBytes;
  const end = header.states.reduce((sum, state) => sum + state.sizeBytes, at);
  if (end !== sizeBytes) throw damaged(path, `it has ${sizeBytes} bytes, expected ${end}`);
  const states = new Map<string, TrainState>();
  for (const state of header.states) {
    states.set(state.name, parseTrainState(await read(at, state.sizeBytes)));
    at += state.sizeBytes;
  }
  return { sampleIds: header.sampleIds, states, request: header.request };
}

function damaged(path: string, why: string): TldrError {
  return new TldrError(
    'INVALID_DATA',
    `${path} is not a training checkpoint: ${why}; give another --checkpoint file`,
  );
}
