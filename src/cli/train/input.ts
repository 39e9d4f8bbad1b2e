import type { Config } from '../../config/load.js';
import type { Distance } from '../../core/distance.js';
import { expectDefined, TldrError } from '../../core/errors.js';
import { isCopyTarget } from '../../store/copy-target.js';
import { pickVector } from '../../store/pick-vector.js';
import type { ConsoleRun } from '../console/command-output.js';
import { openVectors } from '../../files/open-vectors.js';
import { checkColumn } from '../../files/vector-file-names.js';
import { withSource } from '../console/command-body.js';
import { memoryBeforeAndAfter, type MemoryBeforeAndAfter } from '../console/compact-memory.js';
import { readMapColours, rowsOfMap, type MapColours } from '../page-parts/sample-map.js';
import { labelFieldChoice, readLabelFields } from './label-fields.js';
import { readPointJudgements, sampleJudged, type JudgedSample } from './point-judgements.js';
import type { RelevanceFlags } from './relevance-flags.js';
import { relevanceOfRows, type TrainRelevance } from './relevance-of-rows.js';
import { sampleFile } from './sample.js';

const SAMPLE_POINTS_MAX = 10_000_000;

/** Flags that name the training data. */
export interface TrainInputFlags extends RelevanceFlags {
  readonly distance?: Distance;
  /** The column of a Parquet --input; for a table, `vector` has it too. */
  readonly column?: string;
  readonly vector?: string;
  readonly report?: string;
  readonly colorBy?: string;
  readonly seed: number;
}

/** A training sample, how its encoders are judged, and the memory that they save. */
export interface LoadedTraining extends JudgedSample {
  /** Labels that may colour the map of the page. */
  readonly colours: MapColours;
  /** Estimated for a collection; for a file, its vectors as float32. Null if the store cannot say. */
  readonly memory: MemoryBeforeAndAfter | null;
  /** Whether the collection can be migrated where it is: false for a store that is only read. */
  readonly canMigrate: boolean;
}

/**
 * Returns the training sample, from a file or a collection, with its labels, queries and qrels. Flags and
 * files are checked before the sample is read.
 * @throws INVALID_ARGUMENT when flags are unusable or contradict each other
 * @throws INVALID_DATA when a file or a stored vector is unusable
 * @throws NOT_FOUND when a file, the collection or its vector does not exist
 * @throws MISMATCH when data have another dimension than expected
 */
export async function loadTraining(
  collection: string | undefined,
  flags: TrainInputFlags,
  context: {
    readonly run: ConsoleRun;
    readonly config: Config;
    /** Ids of an earlier run's sample as text, to take again; null to draw a new one. */
    readonly ids: readonly string[] | null;
    /** Dimensions of the encoder, for the estimate of memory. */
    readonly outputDim: number;
    readonly check: (dim: number, distance: Distance) => void;
    /** Throws if so many rows do not fit into memory. */
    readonly checkRows: (rows: number, dim: number) => void;
  },
): Promise<LoadedTraining> {
  const { run, config, check, checkRows } = context;
  const { sample: size, seed } = flags;
  if (size < 1 || size > SAMPLE_POINTS_MAX) {
    throw new TldrError(
      'INVALID_ARGUMENT',
      `--sample: got ${size}, expected 1 to ${SAMPLE_POINTS_MAX.toLocaleString('en-US')}`,
    );
  }
  if (flags.input !== undefined) {
    checkColumn('--column', flags.column, [flags.input]);
    const { distance = 'cosine', column } = flags;
    const file = await openVectors(flags.input, column);
    await file.close();
    check(file.cols, distance);
    checkRows(Math.min(size, file.rows), file.cols);
    const shape = { rows: file.rows, dim: file.cols, distance };
    const relevance = await relevanceOfRows(flags, shape, run.signal);
    const sample = await sampleFile(flags.input, { size, seed, distance, column }, run);
    const float32 = (dim: number): number => 4 * dim * file.rows;
    const memory = { ramBytesBefore: float32(file.cols), ramBytesAfter: float32(context.outputDim) };
    const colours = coloursOfLabels(sample.x.rows, relevance, seed);
    return { sample, relevance, memory, colours, canMigrate: false };
  }
  const name = expectDefined(collection, 'the collection to train on');
  const choice = labelFieldChoice(flags);
  return withSource(config, run, async (store) => {
    const spec = await store.describe(name);
    const vector = pickVector(spec, flags.vector);
    check(vector.dim, vector.distance);
    const points = await store.count(name);
    checkRows(Math.min(size, points), vector.dim);
    const judgements = await readPointJudgements(flags, { ...vector, keys: store.keys }, run.signal);
    const ids = context.ids?.map((text) => store.keys.parse(text)) ?? null;
    const place = { store, collection: name, vector };
    const { sample, relevance } = await sampleJudged(place, judgements, { size, seed, ids, run });
    const sampled = expectDefined(sample.ids, "the ids of a collection's sample");
    const labelFields = await readLabelFields(place, sampled, { choice, seed, run });
    const reduced = { vector, dim: context.outputDim };
    const memory = memoryBeforeAndAfter(store, spec, { points, reduced });
    const isColoured = flags.report !== undefined && relevance.labels === undefined;
    const shown = Array.from(rowsOfMap(sampled.length, seed), (at) => expectDefined(sampled[at], 'an id'));
    const colours = isColoured
      ? await readMapColours({ ...place, vectorName: vector.name }, shown, { colorBy: flags.colorBy, run })
      : coloursOfLabels(sampled.length, relevance, seed);
    const canMigrate = isCopyTarget(store);
    return { sample, relevance: { ...relevance, labelFields }, memory, colours, canMigrate };
  });
}

/** The labels that were given, for the rows on the map. */
function coloursOfLabels(
  rows: number,
  { labels, labelNames = [] }: TrainRelevance,
  seed: number,
): MapColours {
  if (labels === undefined) return { labels: [], isGuess: true };
  const texts = Array.from(rowsOfMap(rows, seed), (at) => {
    const number = labels[at] ?? -1;
    return number < 0 ? null : (labelNames[number] ?? String(number));
  });
  return { labels: [{ field: 'label', labels: texts }], isGuess: false };
}
