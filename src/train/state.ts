import { constants } from 'node:buffer';
import * as v from 'valibot';
import { checkJson } from '../core/check-schema.js';
import { expectDefined, TldrError } from '../core/errors.js';
import type { StepValues } from './engine/ops.js';

/** The time of a run that ends by the clock. */
export interface TimeLimit {
  readonly seconds: number;
  /** Seconds that were used already; all of them if the time ended the run. */
  readonly spentSeconds: number;
  /** Rows of the sample that the run was given. A run that goes on takes as many. */
  readonly sampleRows: number;
  /**
   * Set for a run that is measured in between: its rate stays at the peak, so that results at several steps can be
   * compared, and falls in the last part of the run alone.
   */
  readonly steady?: SteadyRun;
}

/** What is known of a run that is measured in between. */
export interface SteadyRun {
  /** How often the run was measured, of all times that are planned. */
  readonly measured: number;
  /** The value of each query when the run was last measured. */
  readonly scores?: readonly number[];
  /** Absent as long as the run goes on to the end of its schedule. */
  readonly stop?: EarlyStop;
}

/** Where a run was stopped, since its last stretch gained nothing. Its rate falls from there. */
export interface EarlyStop {
  readonly step: number;
  /** Seconds of the limit that were used. */
  readonly spentSeconds: number;
  /** Steps that the run would have had in its time. */
  readonly plannedSteps: number;
  /** 95 % interval of what the last stretch gained. */
  readonly gain: readonly [number, number];
}

/** The state of a run between two steps. With the same sample and options, it decides all further steps. */
export interface TrainState extends StepValues {
  /** Steps done. Random numbers depend only on seed and step, so no generator state is needed. */
  readonly step: number;
  /** Fingerprint of the options and the sample that the state belongs to. */
  readonly fingerprint: string;
  readonly lossHistory: readonly number[];
  /** Absent if only the number of steps ends the run. */
  readonly limit?: TimeLimit;
}

const MAGIC = 'TLDRTRN1';
/** Most arrays that an optimiser keeps for a parameter. */
const SLOTS_MAX = 16;

const COUNT = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const SECONDS = v.pipe(v.number(), v.finite(), v.minValue(0));
const STEADY = v.object({
  measured: COUNT,
  scores: v.exactOptional(v.array(v.number())),
  stop: v.exactOptional(
    v.object({
      step: COUNT,
      spentSeconds: SECONDS,
      plannedSteps: COUNT,
      gain: v.tuple([v.number(), v.number()]),
    }),
  ),
});
const HEADER = v.object({
  step: v.pipe(v.number(), v.safeInteger()),
  fingerprint: v.string(),
  // JSON has no NaN, which stands there as null.
  lossHistory: v.array(v.nullable(v.number())),
  sizes: v.array(COUNT),
  slots: v.pipe(COUNT, v.maxValue(SLOTS_MAX)),
  limit: v.optional(
    v.object({
      seconds: SECONDS,
      spentSeconds: SECONDS,
      sampleRows: COUNT,
      steady: v.exactOptional(STEADY),
    }),
  ),
});

/**
 * The state as bytes: magic bytes, header length, JSON header, then all float32 arrays in order.
 * @example
 * ```ts
 * import { writeFile } from 'node:fs/promises';
 * import { matrix, serializeTrainState, trainTldr } from 'qdrant-tldr';
 *
 * const x = matrix(300, 16, Float32Array.from({ length: 4800 }, (_, i) => Math.sin(i * i)));
 * const { state } = await trainTldr(x, { outputDim: 4, distance: 'cosine', seed: 1, steps: 10 });
 * await writeFile('training.state', serializeTrainState(state));
 * ```
 */
export function serializeTrainState(state: TrainState): Uint8Array {
  return Buffer.concat(trainStateParts(state));
}

/** The bytes of `serializeTrainState` in parts. The arrays are not copied. */
export function trainStateParts(state: TrainState): Buffer[] {
  const arrays = state.parameters.flatMap((parameter, i) => [
    parameter,
    ...expectDefined(state.slots[i], 'the optimizer slots of a parameter'),
  ]);
  const header = Buffer.from(
    JSON.stringify({
      step: state.step,
      fingerprint: state.fingerprint,
      lossHistory: state.lossHistory,
      sizes: state.parameters.map(({ length }) => length),
      slots: expectDefined(state.slots[0], 'the optimizer slots of the first parameter').length,
      // JSON leaves it out if it is undefined.
      limit: state.limit,
    }),
  );
  const length = Buffer.alloc(4);
  length.writeUInt32LE(header.length);
  return [
    Buffer.from(MAGIC),
    length,
    header,
    ...arrays.map((values) => Buffer.from(values.buffer, values.byteOffset, values.byteLength)),
  ];
}

/**
 * Reads the bytes of `serializeTrainState`.
 * @throws INVALID_DATA when they are no complete state
 * @example
 * ```ts
 * import { matrix, parseTrainState, serializeTrainState, trainTldr } from 'qdrant-tldr';
 *
 * const x = matrix(300, 16, Float32Array.from({ length: 4800 }, (_, i) => Math.sin(i * i)));
 * const options = { outputDim: 4, distance: 'cosine', seed: 1, steps: 10 } as const;
 * const { state } = await trainTldr(x, options);
 * await trainTldr(x, options, { resume: parseTrainState(serializeTrainState(state)) }); // nothing is left to do
 * ```
 */
export function parseTrainState(bytes: Uint8Array): TrainState {
  const buffer = Buffer.from(bytes);
  const bad = (why: string): TldrError => new TldrError('INVALID_DATA', `no training checkpoint: ${why}`);
  if (buffer.length < 12 || buffer.toString('latin1', 0, 8) !== MAGIC)
    throw bad(`it does not begin with ${MAGIC}`);
  const bodyAt = 12 + buffer.readUInt32LE(8);
  if (bodyAt > Math.min(buffer.length, constants.MAX_STRING_LENGTH))
    throw bad(`its header claims ${bodyAt - 12} bytes`);
  const header = checkJson(HEADER, buffer.toString('utf8', 12, bodyAt), {
    refuse: (problem) => bad(`its header is damaged: ${problem}`),
  });
  const perParameter = 1 + header.slots;
  const expected = header.sizes.reduce((sum, size) => sum + size * perParameter * 4, bodyAt);
  if (buffer.length !== expected) throw bad(`it has ${buffer.length} bytes, expected ${expected}`);
  let at = bodyAt;
  const take = (size: number): Float32Array => {
    const values = new Float32Array(new Uint8Array(buffer.subarray(at, at + size * 4)).buffer);
    at += size * 4;
    return values;
  };
  const parameters: Float32Array[] = [];
  const slots: Float32Array[][] = [];
  for (const size of header.sizes) {
    parameters.push(take(size));
    slots.push(Array.from({ length: header.slots }, () => take(size)));
  }
  const { step, fingerprint, limit } = header;
  const lossHistory = header.lossHistory.map((loss) => loss ?? Number.NaN);
  return { step, fingerprint, lossHistory, parameters, slots, ...(limit === undefined ? {} : { limit }) };
}
