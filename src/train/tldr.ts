import { checkFinite, checkMagnitude, type Matrix } from '../core/matrix.js';
import type { RunOptions } from '../core/run-options.js';
import { runInWorker, shareFloats } from '../core/worker-task.js';
import { buildKnnGraph } from '../knn/build-knn-graph.js';
import type { KnnGraph } from '../knn/graph.js';
import { resolveSettings, type TrainOutcome } from './run-training.js';
import type { TldrOptions } from './options.js';
import type { PreparedSample, PrepareOptions } from './prepare-sample.js';
import type { PrepareTask } from './prepare-worker.js';
import type { TimeLimit, TrainState } from './state.js';
import type { TrainTask } from './training-worker.js';

/**
 * Prepares x (n x D) in a worker thread, for all trainings with this distance and these directions.
 * @throws INVALID_DATA when a row is not finite or too large
 */
export async function prepareInWorker(
  x: Matrix,
  { distance, directions, threads, queryRows }: PrepareOptions,
  { signal }: RunOptions = {},
): Promise<PreparedSample> {
  const name = (i: number): string => `row ${i} of the training sample`;
  checkFinite(x, name);
  if (distance !== 'cosine') checkMagnitude(x, name);
  const shared = { ...x, data: shareFloats(x.data) };
  const task: PrepareTask = { x: shared, options: { distance, directions, threads, queryRows } };
  const file = new URL('./prepare-worker.js', import.meta.url);
  return (await runInWorker({ file, data: task, signal })) as PreparedSample;
}

/** What a call of `trainTldr` continues from, and its callbacks. */
export interface TldrRun extends RunOptions {
  /** Neighbours of the rows; computed if absent. */
  readonly graph?: KnnGraph;
  /** Continues from a state of the same run. */
  readonly resume?: TrainState | undefined;
  /** Ends the training when its time is used up. Default: its steps end it. */
  readonly limit?: TimeLimit | undefined;
  /** Part of the schedule after which a training with a limit pauses, with a network as it is then. */
  readonly pauseAt?: number | undefined;
  /** Called with the state to save, every twenty seconds while the training runs. */
  readonly onState?: ((state: TrainState) => void) | undefined;
}

/** The result of `trainTldr`: the network, and a state from which training can go on. */
export interface TldrResult extends TrainOutcome {
  readonly graph: KnnGraph;
}

/**
 * Learns an encoder for the rows of x (n x D) from their nearest neighbours, in a worker thread (TLDR,
 * Kalantidis et al. 2022; with the loss neighbourhood-kl, a variant of it). If the signal fires during
 * training, the result has `finished` false and a state to resume from.
 * @throws INVALID_DATA when a row is not finite or too large
 * @throws INVALID_ARGUMENT for settings out of range
 * @throws MISMATCH when the state to resume from belongs to another run
 * @example
 * ```ts
 * import { matrix, trainTldr } from 'qdrant-tldr';
 *
 * const x = matrix(300, 16, Float32Array.from({ length: 4800 }, (_, i) => Math.sin(i * i)));
 * const { network, tau } = await trainTldr(x, { outputDim: 4, distance: 'cosine', seed: 1, steps: 20 });
 * ```
 */
export async function trainTldr(x: Matrix, options: TldrOptions, run: TldrRun = {}): Promise<TldrResult> {
  const { loss, nNeighbors: k } = resolveSettings(options);
  const { distance, seed, threads, directions } = options;
  const { signal, log, onProgress } = run;
  const shared = { ...x, data: shareFloats(x.data) };
  const knnOptions = { k, distance, seed, signal, log, onProgress };
  const graph =
    run.graph ??
    (await buildKnnGraph(shared, threads === undefined ? knnOptions : { ...knnOptions, threads }));
  // Barlow Twins does not compare rows, so it needs no coordinates.
  const compared = loss === 'neighbourhood-kl' ? directions : undefined;
  const prepared = await prepareInWorker(shared, { distance, threads, directions: compared }, run);
  return trainPrepared(prepared, graph, options, run);
}

/** Does the same as `trainTldr` for a sample that is prepared, which several trainings may use. */
export async function trainPrepared(
  prepared: PreparedSample,
  graph: KnnGraph,
  options: TldrOptions,
  { signal, log, onProgress, resume, limit, pauseAt, onState }: Omit<TldrRun, 'graph'> = {},
): Promise<TldrResult> {
  // A worker can receive plain data only, but the caller's object may hold more.
  const { outputDim, distance, seed, threads, engine, device, engineFallback, compactDistance } = options;
  const { initialWeight, initialHidden, initialParameters, directions } = options;
  const plain = { ...resolveSettings(options), outputDim, distance, seed };
  const optional = Object.fromEntries(
    Object.entries({
      engine,
      device,
      engineFallback,
      threads,
      initialWeight,
      initialHidden,
      initialParameters,
      directions,
      compactDistance,
    }).filter(([, value]) => value !== undefined),
  );
  const task: TrainTask = { prepared, graph, options: { ...plain, ...optional }, resume, limit, pauseAt };
  const result = await runInWorker({
    file: new URL('./training-worker.js', import.meta.url),
    data: task,
    signal,
    onProgress,
    resultWhenStopped: true,
    onEvent: (event) => {
      if (isLogEvent(event)) log?.(event.level, event.message);
      else if (isStateEvent(event)) onState?.(event.state);
    },
  });
  return { ...(result as TrainOutcome), graph };
}

function isLogEvent(event: unknown): event is { level: 'debug' | 'info' | 'warn'; message: string } {
  return typeof event === 'object' && event !== null && 'level' in event && 'message' in event;
}

function isStateEvent(event: unknown): event is { state: TrainState } {
  return typeof event === 'object' && event !== null && 'state' in event;
}
