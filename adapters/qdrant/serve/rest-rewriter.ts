import type { ServedCollection } from '../../../src/core/served-collection.js';
import type { RestRewriter } from '../../../src/core/wire.js';
export function restRewriter(_c: readonly ServedCollection[]): RestRewriter {
  throw new Error(String(_c));
}
