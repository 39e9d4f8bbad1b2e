import type { Config } from '../../config/load.js';
import { expectDefined, TldrError } from '../../core/errors.js';
import { maskAddress } from '../../core/masked-address-and-redirect.js';
import type { Adapter } from '../../store/adapter.js';
import { adapterFor, allAdapters, DEFAULT_ADAPTER } from '../adapters.js';

/** The kind of database that the demo uses. */
export interface ChosenDatabase {
  readonly adapter: Adapter;
  /** Whether the user named a server of this kind, by flag, variable or file. */
  readonly isGiven: boolean;
}

/**
 * Returns the database that `--database` names, or else that of the given address.
 * @throws INVALID_ARGUMENT if `--url` is the address of another one
 */
export function databaseOfDemo(
  { database, url }: { readonly database?: string; readonly url?: string },
  config: Config,
): ChosenDatabase {
  const hasAddress = config.shown['url']?.from !== 'default';
  const ofAddress = hasAddress ? adapterFor(config.url) : null;
  if (database === undefined) return { adapter: ofAddress ?? DEFAULT_ADAPTER, isGiven: hasAddress };
  const adapter = expectDefined(
    allAdapters().find(({ name }) => name === database),
    'the database that was named',
  );
  if (url !== undefined && ofAddress !== adapter)
    throw new TldrError('INVALID_ARGUMENT', `--url: "${maskAddress(url)}" is no address of ${database}`);
  return { adapter, isGiven: ofAddress === adapter };
}
