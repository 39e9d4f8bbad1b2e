import { boundedName } from '../../core/bounded-name.js';
import { NAME_BYTES_MAX } from '../adapters.js';

/** The collection's name with an ending, as long as a name may be. */
export function targetName(collection: string, ending: string): string {
  return `${boundedName(collection, NAME_BYTES_MAX - ending.length)}${ending}`;
}
