import type { Adapter } from '../../store/adapter.js';
import { TldrError } from '../../core/errors.js';
import type { StorageKind } from '../../store/collection.js';
import { lackingKinds } from '../../store/copy-target.js';
import type { ScratchStore } from '../../store/beside/scratch-store.js';

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

/** The database in which a plan measures: the collection's own, or one that is started for the run. */
export interface MeasuringPlace {
  readonly store: Pick<ScratchStore, 'capabilities' | 'endpoint' | 'kind'>;
  readonly scratch: 'server' | 'embedded';
  readonly local: Adapter['local'];
}

/**
 * Returns the kinds of storage to try: the named ones, or those that the measuring database has.
 * @throws UNSUPPORTED when it lacks a named one, before anything is read, trained or written
 */
export async function kindsToTry(
  named: readonly StorageKind[] | undefined,
  { store, scratch, local }: MeasuringPlace,
): Promise<readonly StorageKind[]> {
  const isLocal = scratch === 'embedded' && local !== undefined;
  const able = isLocal ? await local.capabilities() : store.capabilities;
  if (named === undefined) {
    const kinds = [...KINDS, ...NEWER_KINDS];
    const lacking = lackingKinds(able, kinds);
    return kinds.filter((kind) => !lacking.includes(kind));
  }
  const lacking = lackingKinds(able, named);
  if (lacking.length === 0) return named;
  const where = isLocal
    ? `the packaged ${store.kind} ${local.version}, in which --scratch embedded measures,`
    : `${store.endpoint}, where the plan measures,`;
  throw new TldrError(
    'UNSUPPORTED',
    `${where} cannot store vectors as ${lacking.join(', ')}: leave ${lacking.length === 1 ? 'it' : 'them'} out of --datatypes, or measure on a newer server`,
  );
}
