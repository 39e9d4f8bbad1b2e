import { distancesToSample, storableCentres, type SampleSummary } from '../encoder/sample-summary.js';
import { Encoder } from '../encoder/model.js';
import { projectNatively } from '../encoder/project-natively.js';
import { expectDefined } from '../core/errors.js';
import { gatherRows, row, type Matrix } from '../core/matrix.js';
import { normalizedRows } from '../core/distance.js';
import { Rng } from '../core/rng.js';
import type { RunOptions } from '../core/run-options.js';
import { percentile } from '../evaluate/ranking.js';
import { SUMMARY } from '../hyper-parameters/choice-of-candidate.js';
import { kMeansCentres } from '../knn/k-means.js';

/**
 * Returns the encoder with a summary of its sample x (n x inputDim), or unchanged if there are too few rows. Zero rows,
 * which have no direction, are left out. The centres are found with Lloyd's k-means in the compact space, and rows that took no part say how far is far.
 */
export async function withSampleSummary(
  encoder: Encoder,
  x: Matrix,
  options: RunOptions & {
    readonly seed: number;
    readonly threads?: number | undefined;
    /** Real queries, which may lie elsewhere than the points. */
    readonly queries?: Matrix | undefined;
  },
): Promise<Encoder> {
  const { seed, queries, signal } = options;
  const run = { signal, ...(options.threads === undefined ? {} : { threads: options.threads }) };
  const rows = Int32Array.from({ length: x.rows }, (_, i) => i).filter((i) =>
    row(x, i).some((value) => value !== 0),
  );
  const held = Math.min(SUMMARY.heldOutMax, Math.floor(rows.length * SUMMARY.heldOutShare));
  if (held < SUMMARY.heldOutMin) return encoder;
  const drawn = new Rng(seed).permutation(rows.length).subarray(0, SUMMARY.rowsMax + held);
  const order = drawn.map((i) => expectDefined(rows[i], 'a row of the sample'));
  const distance = encoder.metadata.compactDistance === 'euclid' ? 'euclid' : 'cosine';
  const project = (given: Matrix): Promise<Matrix> => projectNatively(encoder.network, given, run);
  const compact = await project(gatherRows(x, order));
  const fitted = gatherRows(
    compact,
    Int32Array.from({ length: order.length - held }, (_, i) => held + i),
  );
  const count = Math.min(
    SUMMARY.centresMax,
    Math.floor(SUMMARY.bytesMax / encoder.outputDim),
    Math.floor(fitted.rows / SUMMARY.rowsPerCentre),
  );
  if (count < 1) return encoder;
  const unit = distance === 'cosine' ? normalizedRows(fitted) : fitted;
  const centres = await kMeansCentres(unit, { ...run, distance, count, iterations: SUMMARY.iterations });
  const stored = storableCentres(distance === 'cosine' ? normalizedRows(centres) : centres);
  const limit = (vectors: Matrix): number =>
    percentile(distancesToSample({ centres: stored, distance }, vectors), 100 * (1 - SUMMARY.farShare));
  const own = gatherRows(
    compact,
    Int32Array.from({ length: held }, (_, i) => i),
  );
  const asked = queries === undefined ? null : await projectNatively(encoder.queryNetwork, queries, run);
  const sample: SampleSummary = {
    encoder: encoder.fingerprint,
    rows: order.length,
    distance,
    centres: stored,
    farPoint: limit(own),
    farQuery: asked === null ? null : limit(asked),
    expectedShare: SUMMARY.farShare,
  };
  const { network, queryNetwork, metadata, symmetric } = encoder;
  return symmetric
    ? new Encoder(network, { ...metadata, sample })
    : new Encoder(network, { ...metadata, sample }, queryNetwork);
}
