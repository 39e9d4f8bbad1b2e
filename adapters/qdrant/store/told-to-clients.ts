import { METADATA_KEY } from '../../../src/store/target-description.js';
import { EXACT_KEY } from '../transport/exact-search.js';
import { objectAt, type Json, type JsonObject } from '../transport/json.js';
import { LIFTED_KEY } from './lifted-limits.js';
import { QUANTIZATION_KEY } from './quantization-record.js';
import { THRESHOLDS_KEY } from './thresholds.js';

/** Metadata keys of a target that say what clients of its source saw. */
export const TOLD_KEYS = [THRESHOLDS_KEY, QUANTIZATION_KEY, EXACT_KEY];

/**
 * The part of a PATCH that ends a bulk load that says what clients see. Writing null removes what is stored: a target's
 * limits may have come to be the source's own.
 */
export function toldToClients(native: Json): JsonObject {
  const metadata = objectAt(native, 'metadata');
  const { [METADATA_KEY]: description, [QUANTIZATION_KEY]: record } = metadata;
  const { [THRESHOLDS_KEY]: limits = null, [EXACT_KEY]: exact = null } = metadata;
  const told = {
    ...{ [THRESHOLDS_KEY]: limits, [EXACT_KEY]: exact, [LIFTED_KEY]: null },
    ...(record !== undefined && { [QUANTIZATION_KEY]: record }),
  };
  const isTold = [description, record].some((one) => one !== undefined) || limits !== null || exact !== null;
  return isTold ? { metadata: told } : {};
}
