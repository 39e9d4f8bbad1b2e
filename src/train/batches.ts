import { Rng } from '../core/rng.js';
import { QUERY_ROWS } from '../hyper-parameters/fit-of-candidates.js';

/** The part of a neighbour graph that training reads: rows x k indices, -1 if there are fewer. */
export interface Neighbors {
  readonly rows: number;
  readonly k: number;
  readonly neighbors: Int32Array;
  /** How many of the rows, at the end, are queries: their neighbours are points, and points have none among them. */
  readonly queryRows?: number;
}

/**
 * A generator for one step (or epoch) of a run. It depends on the seed and the counter only, so a resumed run
 * draws the same numbers as an uninterrupted run.
 */
export function rngFor(seed: number, stream: number, counter: number): Rng {
  return new Rng(
    (Math.imul(seed, 0x9e3779b1) ^ Math.imul(stream + 1, 0x85ebca6b) ^ Math.imul(counter + 1, 0xc2b2ae35)) >>>
      0,
  );
}

const PERMUTATION_STREAM = 1;
const STEP_STREAM = 2;

/**
 * Returns a function that gives the row indices of a Barlow Twins step: `batchSize` anchors from the epoch's
 * permutation, then one neighbour of each anchor, drawn uniformly from its k neighbours as in TLDR
 * (Kalantidis et al. 2022). A row without neighbours is paired with itself.
 */
export function pairBatches(
  graph: Neighbors,
  batchSize: number,
  seed: number,
): { stepsPerEpoch: number; at: (step: number) => Int32Array } {
  const stepsPerEpoch = Math.max(1, Math.floor(graph.rows / batchSize));
  let epoch = -1;
  let order: Int32Array = new Int32Array(0);
  const at = (step: number): Int32Array => {
    const wanted = Math.floor(step / stepsPerEpoch);
    if (wanted !== epoch) {
      epoch = wanted;
      order = rngFor(seed, PERMUTATION_STREAM, epoch).permutation(graph.rows);
    }
    const rng = rngFor(seed, STEP_STREAM, step);
    const rows = new Int32Array(2 * batchSize);
    for (let i = 0; i < batchSize; i++) {
      const anchor = order[((step % stepsPerEpoch) * batchSize + i) % graph.rows]!;
      rows[i] = anchor;
      rows[batchSize + i] = drawNeighbor(graph, anchor, rng);
    }
    return rows;
  };
  return { stepsPerEpoch, at };
}

/**
 * Row indices of one step of neighbourhood-kl: random anchors, each followed by `neighborsPerAnchor` random
 * neighbours. The batch has `batchSize` distinct rows, or the whole sample if that is smaller. If there are queries among
 * the rows, a fixed share of the anchors is drawn from them.
 */
export function neighborhoodBatch(
  graph: Neighbors,
  settings: { batchSize: number; neighborsPerAnchor: number; seed: number },
  step: number,
): Int32Array {
  const size = Math.min(settings.batchSize, graph.rows);
  if (size === graph.rows) return Int32Array.from({ length: size }, (_, i) => i);
  const rng = rngFor(settings.seed, STEP_STREAM, step);
  const chosen = new Set<number>();
  const { queryRows = 0 } = graph;
  const points = graph.rows - queryRows;
  for (let anchors = 0; chosen.size < size; anchors++) {
    const anchor = isQueryAnchor(anchors, queryRows) ? points + rng.int(queryRows) : rng.int(points);
    chosen.add(anchor);
    for (let i = 0; i < settings.neighborsPerAnchor && chosen.size < size; i++) {
      chosen.add(drawNeighbor(graph, anchor, rng));
    }
  }
  return Int32Array.from(chosen);
}

/** The values that stand for the graph in the fingerprint of a run. */
export function hashedGraph({ neighbors, queryRows }: Neighbors): readonly (Int32Array | Float64Array)[] {
  return queryRows === undefined
    ? [neighbors]
    : [neighbors, Float64Array.of(queryRows, QUERY_ROWS.anchorShare)];
}

/** Whether the anchor of this number in a batch is a query: they are spread evenly over the anchors. */
function isQueryAnchor(anchor: number, queryRows: number): boolean {
  const { anchorShare } = QUERY_ROWS;
  return queryRows > 0 && Math.floor((anchor + 1) * anchorShare) > Math.floor(anchor * anchorShare);
}

function drawNeighbor({ neighbors, k }: Neighbors, anchor: number, rng: Rng): number {
  let known = k;
  while (known > 0 && neighbors[anchor * k + known - 1]! < 0) known--;
  return known === 0 ? anchor : neighbors[anchor * k + rng.int(known)]!;
}
