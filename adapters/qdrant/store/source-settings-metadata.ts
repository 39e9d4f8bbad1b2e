import { METADATA_KEY } from '../../../src/store/target-description.js';
import { EXACT_KEY } from './clients-exact-search.js';
import { objectAt, type Json, type JsonObject } from '../transport/json.js';
import { LIFTED_KEY } from './lifted-limits.js';
import { QUANTIZATION_KEY } from './source-quantization-record.js';
import { THRESHOLDS_KEY } from './scaled-limits.js';

/** Metadata keys of a target for the settings that clients of its source saw. */
export const SOURCE_SETTINGS_KEYS = [THRESHOLDS_KEY, QUANTIZATION_KEY, EXACT_KEY];

/**
 * Returns the metadata for the PATCH that ends a bulk load: the settings that clients see. Writing null
 * removes the stored value, which is needed if the target's limits have become the source's.
 */
export function sourceSettingsMetadata(native: Json): JsonObject {
  const metadata = objectAt(native, 'metadata');
  const { [METADATA_KEY]: description, [QUANTIZATION_KEY]: record } = metadata;
  const { [THRESHOLDS_KEY]: limits = null, [EXACT_KEY]: exact = null } = metadata;
  const told = {
    [THRESHOLDS_KEY]: limits,
    [EXACT_KEY]: exact,
    [LIFTED_KEY]: null,
    ...(record !== undefined && { [QUANTIZATION_KEY]: record }),
  };
  const isTold = [description, record].some((one) => one !== undefined) || limits !== null || exact !== null;
  return isTold ? { metadata: told } : {};
}
