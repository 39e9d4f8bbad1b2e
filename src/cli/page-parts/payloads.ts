import { isTldrError, messageOf } from '../../core/errors.js';
import type { PointId } from '../../core/point-id.js';
import { throwIfAborted } from '../../core/run-options.js';
import { REQUEST_IDS } from '../../store/defaults.js';
import type { VectorSource } from '../../store/vector-source.js';
import type { ConsoleRun } from '../console/command-output.js';

/** Reading stops when payloads have this many bytes together. */
const BYTES_MAX = 64 * 2 ** 20;

/** A collection whose points the page shows. */
export interface PagePlace {
  readonly store: VectorSource;
  readonly collection: string;
  readonly vectorName: string;
}

/**
 * Returns the payloads of points as JSON texts, by id. If they cannot be read, it warns, and the page has none: a
 * page is no reason to lose what was measured.
 */
export async function readPayloads(
  { store, collection, vectorName }: PagePlace,
  ids: readonly PointId[],
  { run, what }: { readonly run: ConsoleRun; readonly what: string },
): Promise<ReadonlyMap<PointId, string>> {
  const payloads = new Map<PointId, string>();
  const wanted = [...new Set(ids)];
  let bytes = 0;
  try {
    for (let start = 0; start < wanted.length && bytes < BYTES_MAX; start += REQUEST_IDS) {
      throwIfAborted(run.signal);
      const part = wanted.slice(start, start + REQUEST_IDS);
      const batch = await store.retrieve(collection, part, { vectorName });
      batch.ids.forEach((id, i) => {
        const extra = batch.extra[i];
        if (extra === undefined) return;
        bytes += extra.byteLength;
        payloads.set(id, store.payloadJson(extra));
      });
    }
  } catch (error) {
    if (isTldrError(error, 'ABORTED')) throw error;
    run.log('warn', `the report has no ${what}, because payloads cannot be read: ${messageOf(error)}`);
  }
  return payloads;
}
