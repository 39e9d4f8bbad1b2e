import * as v from 'valibot';
import { checkJson } from '../../core/check-schema.js';
import { TldrError } from '../../core/errors.js';
import { PROPOSAL_NAMES } from '../../plan/proposals.js';
import { readIfThere, replaceFile } from '../../migrate/state/replace-file.js';
import { STORAGE_KINDS } from '../../store/collection.js';

const VALUE = v.nullable(v.union([v.string(), v.number(), v.tuple([v.number(), v.number()])]));
const FORMAT = v.union([v.picklist(['whole', 'signed', 'bytes']), v.picklist([1, 2, 3, 4])]);

/** A table of results, as pages show it. */
const TABLE = v.object({
  title: v.string(),
  columns: v.array(v.union([v.tuple([v.string(), FORMAT]), v.tuple([v.string()])])),
  rows: v.array(
    v.object({
      cells: v.array(VALUE),
      starred: v.exactOptional(v.boolean()),
      picked: v.exactOptional(v.string()),
      folded: v.exactOptional(v.boolean()),
    }),
  ),
  note: v.exactOptional(v.string()),
  legend: v.exactOptional(v.string()),
});

const LAYOUT = v.picklist(['compact', 'two-stage']);
const NAME = v.picklist(PROPOSAL_NAMES);

const FIGURES = v.object({
  label: v.string(),
  recallAt10: v.number(),
  interval: v.tuple([v.number(), v.number()]),
  ramBytes: v.number(),
  diskBytes: v.number(),
  latencyMsP50: v.number(),
});

const PROPOSED = v.object({
  name: NAME,
  reached: v.boolean(),
  figures: FIGURES,
  row: v.object({
    dim: v.number(),
    datatype: v.picklist(STORAGE_KINDS),
    oversampling: v.number(),
    layout: LAYOUT,
    /** Links of each point in the graph, if they are not those of the collection. */
    hnswM: v.exactOptional(v.number()),
  }),
  /** Expected time of training and copy; null if it could not be estimated. */
  seconds: v.nullable(v.number()),
});

const SETTING = v.object({
  label: v.string(),
  dim: v.number(),
  datatype: v.string(),
  oversampling: v.number(),
  recallAt10: v.number(),
  interval: v.tuple([v.number(), v.number()]),
  ramBytes: v.number(),
  diskBytes: v.number(),
  latencyMs: v.number(),
  kind: v.picklist(['current', 'full', 'compact']),
  onFrontier: v.boolean(),
});

/** What the flags ask for. A run can only go on with the same. */
const REQUEST = v.object({
  collection: v.string(),
  endpoint: v.string(),
  vector: v.nullable(v.string()),
  layout: LAYOUT,
  target: v.nullable(v.string()),
  queries: v.nullable(v.string()),
  sample: v.number(),
  seed: v.number(),
  budget: v.number(),
  /** Present if the clock decides nothing. */
  deterministic: v.optional(v.boolean()),
});

const STATE = v.object({
  version: v.literal(1),
  request: REQUEST,
  /** The temporary collection of a sizing under way. */
  scratch: v.nullable(v.string()),
  sizing: v.nullable(
    v.object({
      points: v.number(),
      samplePoints: v.number(),
      /** Whether some of the given queries train. */
      trainsWithQueries: v.boolean(),
      today: v.nullable(FIGURES),
      proposals: v.array(PROPOSED),
      /** What the database's own storage of full vectors reaches, in words; null if it does not matter. */
      alternative: v.nullable(v.string()),
      table: TABLE,
      /** All configurations, for the page's chart; absent in the state of an earlier version. */
      settings: v.exactOptional(v.array(SETTING)),
      /** Present if compact vectors stand beside the full ones, so that RAM is that of the index. */
      beside: v.exactOptional(v.boolean()),
    }),
  ),
  choice: v.nullable(NAME),
  target: v.nullable(v.string()),
  /** From this moment on, the encoder file and its checkpoint belong to this run. */
  trainingBegun: v.boolean(),
  /** Present if compact vectors have to be compared by cosine, as an operator of the database does. */
  comparesByCosine: v.exactOptional(v.boolean()),
  training: v.nullable(v.object({ fingerprint: v.string(), saved: v.string(), table: v.nullable(TABLE) })),
  /** The page that this run wrote, and may replace. */
  report: v.nullable(v.string()),
});

/** What a run was asked to do. */
export type ShrinkRequest = v.InferOutput<typeof REQUEST>;
/** How far a run is. */
export type ShrinkState = v.InferOutput<typeof STATE>;
/** A measured sizing. */
export type ShrinkSizing = NonNullable<ShrinkState['sizing']>;
/** A proposal with all that is needed to carry it out. */
export type Proposed = v.InferOutput<typeof PROPOSED>;

/** Returns the state of a run that did nothing yet. */
export function newShrinkState(request: ShrinkRequest): ShrinkState {
  return {
    version: 1,
    request,
    scratch: null,
    sizing: null,
    choice: null,
    target: null,
    trainingBegun: false,
    training: null,
    report: null,
  };
}

/** Returns the state in a file; null if there is none. @throws INVALID_DATA when the file holds something else */
export async function readShrinkState(path: string): Promise<ShrinkState | null> {
  const text = await readIfThere(path);
  if (text === null) return null;
  return checkJson(STATE, text, {
    refuse: (problem, cause) =>
      new TldrError(
        'INVALID_DATA',
        `${path} is not the state of a shrink run: ${problem}; move it away to begin again`,
        { cause },
      ),
  });
}

/** Writes the state. After a crash, either the old or the new one is complete. */
export async function writeShrinkState(path: string, state: ShrinkState): Promise<void> {
  await replaceFile(path, `${JSON.stringify(state, null, 2)}\n`);
}

/**
 * Checks that a run goes on with what it began with.
 * @throws MISMATCH naming the flags that differ, with both values
 */
export function checkSameRequest(path: string, began: ShrinkRequest, asked: ShrinkRequest): void {
  const [before, now] = [new Map(Object.entries(began)), new Map(Object.entries(asked))];
  const keys = [...new Set([...before.keys(), ...now.keys()])];
  const different = keys.filter((key) => before.get(key) !== now.get(key));
  if (different.length === 0) return;
  const words = different.map(
    (key) => `${key}: began with ${shown(before.get(key))}, got ${shown(now.get(key))}`,
  );
  throw new TldrError(
    'MISMATCH',
    `${path} holds a run with other settings (${words.join('; ')}): give the same ones to continue it, or another --out to begin a new one`,
  );
}

function shown(value: string | number | boolean | null | undefined): string {
  return value === null || value === undefined ? 'none' : String(value);
}
