import type { StoreStatus } from '../../../src/store/vector-source.js';
import { numberAt, stringifyJson, textAt, valueAt, type Json } from '../transport/json.js';

/** Returns a collection's load from its description. Servers from 1.17 on give the length of the queue. */
export function loadOf(info: Json): StoreStatus {
  const optimizer = valueAt(info, 'optimizer_status');
  return {
    optimizing: textAt(info, 'status') === 'yellow',
    failure: optimizer === 'ok' || optimizer === undefined ? null : stringifyJson(optimizer),
    queuedUpdates: numberAt(info, 'update_queue', 'length') ?? null,
  };
}
