import { isTldrError, messageOf } from '../../core/errors.js';
import type { Matrix } from '../../core/matrix.js';
import type { PointId } from '../../core/point-id.js';
import { Rng } from '../../core/rng.js';
import type { Encoder } from '../../encoder/model.js';
import { LabelFinder } from '../../evaluate/label-fields.js';
import { fieldValues } from '../../evaluate/payload-strata.js';
import {
  alignMap,
  labelsForMap,
  mapInTwoDimensions,
  type MapLabels,
} from '../../evaluate/two-dimensional-map.js';
import { formatNumber } from '../../report/format.js';
import type { SampleMap } from '../../report/input.js';
import type { ConsoleRun } from '../console/command-output.js';
import { readPayloads, type PagePlace } from './payloads.js';

/** Most points on the map. */
const MAP_POINTS = 1_500;

const NO_LABEL = '(none)';

/** Labels that may colour the map: a field that was named, or those that look like labels. */
export interface MapColours {
  readonly labels: readonly MapLabels[];
  /** Whether the map takes one of them only if it suits. */
  readonly isGuess: boolean;
}

/** Returns the rows of a sample that the map shows, the same for the same seed. */
export function rowsOfMap(rows: number, seed: number): Int32Array {
  return new Rng(seed).permutation(rows).slice(0, MAP_POINTS);
}

/**
 * Reads the labels that may colour the map from the payloads of its points.
 * @param colorBy a payload field, auto (the default) or none
 */
export async function readMapColours(
  place: PagePlace,
  ids: readonly PointId[],
  { colorBy = 'auto', run }: { readonly colorBy: string | undefined; readonly run: ConsoleRun },
): Promise<MapColours> {
  if (colorBy === 'none') return { labels: [], isGuess: true };
  const payloads = await readPayloads(place, ids, { run, what: 'colours on its map' });
  if (colorBy !== 'auto') {
    const labels = ids.map((id) => fieldValues(payloads.get(id) ?? 'null', colorBy)[0] ?? null);
    if (labels.every((label) => label === null))
      run.log('warn', `no point on the report's map has a value in payload field "${colorBy}"`);
    return { labels: [{ field: colorBy, labels }], isGuess: false };
  }
  const finder = new LabelFinder(ids.length);
  ids.forEach((id, i) => {
    const json = payloads.get(id);
    if (json !== undefined) finder.add(i, json);
  });
  const labels = finder.found().map(({ field, labels: numbers, names }) => ({
    field,
    labels: Array.from(numbers, (number) => names[number] ?? null),
  }));
  return { labels, isGuess: true };
}

/** Returns the map of full vectors before and after the encoder; null if it cannot be drawn. */
export async function sampleMap(
  full: Matrix,
  encoder: Encoder,
  { colours, run }: { readonly colours: MapColours; readonly run: ConsoleRun },
): Promise<SampleMap | null> {
  const { signal } = run;
  const { distance, compactDistance } = encoder.metadata;
  const before = await mapInTwoDimensions(full, { distance, signal });
  const after = await mapInTwoDimensions(encoder.project(full), { distance: compactDistance, signal });
  if (before === null || after === null) return null;
  alignMap(after, before);
  const { labels, isGuess } = colours;
  const shown = isGuess ? labelsForMap(before, labels) : (labels[0] ?? null);
  return {
    views: [
      { name: `Before: ${formatNumber(encoder.inputDim)} dimensions`, points: before },
      { name: `After: ${formatNumber(encoder.outputDim)} dimensions`, points: after },
    ],
    ...(shown === null
      ? {}
      : { labels: shown.labels.map((label) => label ?? NO_LABEL), labelledBy: shown.field }),
  };
}

/** Returns the map of a random sample of a collection; null, with a warning, if it cannot be read. */
export async function collectionMap(
  place: PagePlace,
  encoder: Encoder,
  { colorBy, run }: { readonly colorBy: string | undefined; readonly run: ConsoleRun },
): Promise<SampleMap | null> {
  const { store, collection, vectorName } = place;
  const { signal, onProgress } = run;
  try {
    const { ids, vectors } = await store.sample(collection, {
      vectorName,
      size: MAP_POINTS,
      signal,
      onProgress,
    });
    const colours = await readMapColours(place, ids, { colorBy, run });
    return await sampleMap(vectors, encoder, { colours, run });
  } catch (error) {
    if (isTldrError(error, 'ABORTED')) throw error;
    run.log('warn', `the report has no map of the sample: ${messageOf(error)}`);
    return null;
  }
}
