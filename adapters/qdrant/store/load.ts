import type { StoreStatus } from '../../../src/store/vector-store.js';
import { numberAt, stringifyJson, textAt, valueAt, type Json } from '../transport/json.js';

/** What the information about a collection says of its load; the length of the queue from 1.17 on. */
export function loadOf(info: Json): StoreStatus {
  const optimizer = valueAt(info, 'optimizer_status');
  return {
    optimizing: textAt(info, 'status') === 'yellow',
    failure: optimizer === 'ok' || optimizer === undefined ? null : stringifyJson(optimizer),
    queuedUpdates: numberAt(info, 'update_queue', 'length') ?? null,
  };
}
