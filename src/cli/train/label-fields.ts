import { isTldrError, messageOf, TldrError } from '../../core/errors.js';
import type { PointId } from '../../core/point-id.js';
import { Rng } from '../../core/rng.js';
import { throwIfAborted } from '../../core/run-options.js';
import { LabelFinder } from '../../evaluate/label-fields.js';
import { fieldValues } from '../../evaluate/payload-strata.js';
import type { LabelField } from '../../select/measure-relevance.js';
import { REQUEST_IDS } from '../../store/defaults.js';
import type { ConsoleRun } from '../console/command-output.js';
import type { RelevanceFlags } from './relevance-flags.js';
import type { SamplePlace } from './sample.js';

/** Points of the sample whose payloads are read: so many, or this share of a large sample. */
const ROWS_MIN = 15_000;
const ROWS_SHARE = 0.1;
/** Reading stops when payloads have this many bytes together. */
const BYTES_MAX = 64 * 2 ** 20;
/** Most fields that can be named. */
const FIELDS_MAX = 12;

/** Which payload fields are read as labels, beside a choice that they have no part in. */
export type LabelFieldChoice = 'auto' | readonly string[];

/**
 * Returns the fields that `--labels-field` names for a choice by fidelity. If it is absent, fields are looked for in
 * collections without queries or other labels.
 * @throws INVALID_ARGUMENT when a name is empty, or there are too many
 */
export function labelFieldChoice(flags: RelevanceFlags): LabelFieldChoice {
  const { objective = 'fidelity', labelsField, labels, queries, input } = flags;
  if (objective === 'relevance' || labelsField === 'none') return [];
  if (labelsField === undefined)
    return input === undefined && queries === undefined && labels === undefined ? 'auto' : [];
  if (labelsField === 'auto') return 'auto';
  const fields = [...new Set(labelsField.split(','))];
  if (fields.includes('') || fields.length > FIELDS_MAX) {
    throw new TldrError(
      'INVALID_ARGUMENT',
      `--labels-field: got "${labelsField}", expected auto, none, or up to ${FIELDS_MAX} keys of the payload with commas between them`,
    );
  }
  return fields;
}

/**
 * Reads labels from the payloads of a part of a sample, bounded in points and bytes. Only the values of the fields are
 * kept, as numbers. If fields are looked for and the payloads cannot be read, there are none.
 * @param ids the sample's points, in its order
 * @throws INVALID_DATA when no point has a value in a field that was named
 */
export async function readLabelFields(
  place: SamplePlace,
  ids: readonly PointId[],
  {
    choice,
    seed,
    run,
  }: {
    readonly choice: LabelFieldChoice;
    readonly seed: number;
    readonly run: ConsoleRun;
  },
): Promise<readonly LabelField[]> {
  if (choice !== 'auto')
    return choice.length === 0 ? [] : namedLabels(place, ids, { fields: choice, seed, run });
  const finder = new LabelFinder(ids.length);
  try {
    await eachPayload(place, ids, { seed, run, use: (row, json) => finder.add(row, json) });
  } catch (error) {
    if (isTldrError(error, 'ABORTED')) throw error;
    run.log('warn', `no labels were looked for, because payloads cannot be read: ${messageOf(error)}`);
    return [];
  }
  return finder.found().map(({ field, labels }) => ({ name: field, labels, guessed: true }));
}

async function namedLabels(
  place: SamplePlace,
  ids: readonly PointId[],
  {
    fields,
    seed,
    run,
  }: { readonly fields: readonly string[]; readonly seed: number; readonly run: ConsoleRun },
): Promise<LabelField[]> {
  const named = fields.map((name) => ({
    name,
    labels: new Int32Array(ids.length).fill(-1),
    numbers: new Map<string, number>(),
  }));
  const use = (row: number, json: string): void => {
    for (const { name, labels, numbers } of named) {
      const [value] = fieldValues(json, name);
      if (value === undefined) continue;
      const number = numbers.get(value) ?? numbers.size;
      numbers.set(value, number);
      labels[row] = number;
    }
  };
  const read = await eachPayload(place, ids, { seed, run, use });
  for (const { name, numbers } of named) {
    if (numbers.size > 0) continue;
    throw new TldrError(
      'INVALID_DATA',
      `none of ${read.toLocaleString('en-US')} points of the sample has a label from payload field "${name}"`,
    );
  }
  return named.map(({ name, labels }) => ({ name, labels }));
}

/** Calls `use` with the payloads of random points of the sample; returns how many were read. */
async function eachPayload(
  { store, collection, vector }: SamplePlace,
  ids: readonly PointId[],
  {
    seed,
    run,
    use,
  }: {
    readonly seed: number;
    readonly run: ConsoleRun;
    readonly use: (row: number, payloadJson: string) => void;
  },
): Promise<number> {
  const most = Math.min(ids.length, Math.max(ROWS_MIN, Math.ceil(ids.length * ROWS_SHARE)));
  const rows = Array.from(new Rng(seed).permutation(ids.length).subarray(0, most));
  let [read, bytes] = [0, 0];
  for (let start = 0; start < rows.length && bytes < BYTES_MAX; start += REQUEST_IDS) {
    throwIfAborted(run.signal);
    const part = new Map(
      rows.slice(start, start + REQUEST_IDS).flatMap((row) => {
        const id = ids[row];
        return id === undefined ? [] : [[id, row] as const];
      }),
    );
    const batch = await store.retrieve(collection, [...part.keys()], { vectorName: vector.name });
    batch.ids.forEach((id, i) => {
      const [row, extra] = [part.get(id), batch.extra[i]];
      if (row === undefined || extra === undefined) return;
      bytes += extra.byteLength;
      use(row, store.payloadJson(extra));
      read++;
    });
    run.onProgress({ step: 'looking for labels', done: read, total: rows.length, unit: 'points' });
  }
  return read;
}
