/**
 * The adapters of databases. Each loads most of its code when an address is opened. Only this file and `proxy-adapter.ts`
 * import adapters.
 */
import { QDRANT } from '../../adapters/qdrant/adapter.js';
import { PGVECTOR } from '../../adapters/pgvector/adapter.js';
import { TldrError } from '../core/errors.js';
import { maskAddress } from '../core/masked-address-and-redirect.js';
import type { Adapter } from '../store/adapter.js';

export { jsonCondition } from '../../adapters/qdrant/points/condition-form.js';
export { NAME_BYTES_MAX, STATE_COLLECTION } from '../../adapters/qdrant/transport/collection-names.js';

/** The database that is used where none is named. */
export const DEFAULT_ADAPTER = QDRANT;

const adapters: Adapter[] = [QDRANT, PGVECTOR];

/** Returns all adapters. */
export function allAdapters(): readonly Adapter[] {
  return adapters;
}

/**
 * Adds an adapter, before any command is made.
 * @throws INVALID_ARGUMENT when another one has its name, a scheme of its addresses or one of its settings
 */
export function addAdapter(adapter: Adapter): void {
  const taken = adapters.find(
    (one) =>
      one.name === adapter.name ||
      one.schemes.some((scheme) => adapter.schemes.includes(scheme)) ||
      one.settings.some(({ name }) => adapter.settings.some((own) => own.name === name)),
  );
  if (taken !== undefined) {
    throw new TldrError(
      'INVALID_ARGUMENT',
      `the adapter ${adapter.name} cannot be added: ${taken.name} has the same name, scheme or setting`,
    );
  }
  adapters.push(adapter);
}

/** Whether the proxy can stand between clients and the database at an address. It speaks the protocols of one adapter. */
export function hasProxy(url: string): boolean {
  return adapterFor(url).name === QDRANT.name;
}

/** Returns the adapter for an address. @throws INVALID_ARGUMENT when no adapter has its scheme */
export function adapterFor(url: string): Adapter {
  const scheme = /^([a-z][a-z0-9+.-]*):\/\//i.exec(url)?.[1]?.toLowerCase();
  const found = adapters.find(({ schemes }) => scheme !== undefined && schemes.includes(scheme));
  if (found !== undefined) return found;
  const known = adapters.flatMap(({ schemes }) => schemes.map((one) => `${one}://`));
  throw new TldrError(
    'INVALID_ARGUMENT',
    `"${maskAddress(url)}" is not the address of a database: expected one that begins with ${known.join(' or ')}, for example http://localhost:6333`,
  );
}
