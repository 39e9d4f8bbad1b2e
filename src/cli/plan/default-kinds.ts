import type { StorageKind } from '../../store/collection.js';
import type { CopyTarget } from '../../store/copy-target.js';

/** The kinds of storage that are tried if none are named. */
export const KINDS: readonly StorageKind[] = [
  'float32',
  'float16',
  'uint8',
  'scalar',
  'product-x16',
  'binary',
  'binary-2bit',
];

/** Tried as well where the server has them. */
export const NEWER_KINDS: readonly StorageKind[] = ['turbo-1bit', 'turbo-2bit', 'turbo-4bit', 'turbo4'];

/**
 * Returns the kinds of storage to try if none are named. The packaged server, in which an embedded run measures, has
 * none of the newer kinds.
 */
export function defaultKinds(
  { capabilities }: Pick<CopyTarget, 'capabilities'>,
  scratch: 'server' | 'embedded',
): StorageKind[] {
  const able: readonly string[] = [...capabilities.datatypes, ...capabilities.quantizations];
  return [...KINDS, ...NEWER_KINDS.filter((kind) => scratch === 'server' && able.includes(kind))];
}
