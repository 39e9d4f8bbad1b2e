import { createHash } from 'node:crypto';
import { TldrError } from '../core/errors.js';
import { hashedGraph, type Neighbors } from './batches.js';
import type { TldrOptions, TrainSettings } from './options.js';
import type { PreparedSample } from './prepare-sample.js';
import type { TrainState } from './state.js';

/** Everything that must be the same for a run to be resumed. */
export interface DescribedRun {
  readonly options: TldrOptions;
  readonly settings: TrainSettings;
  readonly prepared: PreparedSample;
  readonly graph: Neighbors;
}

/**
 * The state was saved by a version that hashed the values of the sample for each training.
 * @throws MISMATCH when it belongs to another run
 */
export function checkEarlierState(state: TrainState, run: DescribedRun): void {
  const expected = runFingerprint(run, 'values');
  if (state.fingerprint === expected) return;
  throw new TldrError(
    'MISMATCH',
    'this checkpoint belongs to another run: its sample or its settings differ',
    { expected, got: state.fingerprint },
  );
}

/** SHA-256, hex, over the run, with the sample's digest or its values. */
export function runFingerprint(
  { options, settings, prepared: { sample, digest }, graph }: DescribedRun,
  by: 'digest' | 'values',
): string {
  const { outputDim, distance, compactDistance = distance, seed, engine = 'onnx' } = options;
  const { initialWeight, initialHidden, initialParameters: given = [], directions } = options;
  const { rows, cols } = sample;
  const hash = createHash('sha256');
  hash.update(JSON.stringify({ settings, outputDim, distance, compactDistance, seed, engine, rows, cols }));
  for (const { buffer, byteOffset, byteLength } of [
    by === 'digest' ? Buffer.from(digest) : sample.data,
    ...hashedGraph(graph),
    initialWeight?.data ?? new Float32Array(0),
    ...(initialHidden === undefined ? [] : [initialHidden.weight, initialHidden.bias, initialHidden.output]),
    directions?.data ?? new Float32Array(0),
    ...given,
  ]) {
    hash.update(new Uint8Array(buffer, byteOffset, byteLength));
  }
  return hash.digest('hex');
}
