import { hintFields, messageOf, TldrError } from '../../core/errors.js';
import type { StateStore } from '../../store/state-store.js';
import { parseMigrationState, stateText, type MigrationState } from './migration-state.js';
import { Leases, type Lease, type LeaseOptions } from './lease.js';
import type { StateLocation } from './location.js';
import { parseThrottleSettings, UNTHROTTLED } from '../throttle/settings.js';

/** The collections of a migration. */
interface Sides {
  readonly source: string;
  readonly target: string;
}

/**
 * Returns the location of a migration state in the target's own database. One entry holds the state, the
 * pause request and the throttle settings; each share of several workers has its own entry. The lock is a
 * lease that its holder renews.
 */
export function stateInDatabase(
  store: StateStore,
  { source, target }: Sides,
  options: LeaseOptions = {},
): StateLocation {
  const leases = new Leases(store, options);
  const held = new Map<string, Lease>();
  const mainKey = JSON.stringify([source, target]);
  const stateTextOf = async (key: string): Promise<string | undefined> =>
    (await store.read(key, ['record']))?.['record'];
  const release = async (key: string, lease: Lease): Promise<void> => {
    held.delete(key);
    await lease.stop();
    try {
      const entry = await store.read(key, ['record']);
      if (entry?.['record'] !== undefined) await lease.release();
      // A migration that never began leaves no entry behind.
      else if (entry !== null) await store.remove(key, lease.mine);
    } catch (error) {
      options.log?.(
        'warn',
        `the lease on ${store.label(key)} was not released, so other runs have to wait: ${messageOf(error)}`,
        hintFields(error),
      );
    }
  };
  const placeAt = (key: string, about: string): Omit<StateLocation, 'share'> => ({
    ...requestsIn(store, mainKey),
    label: store.label(key),
    kept: 'database',
    read: async () => {
      const text = await stateTextOf(key);
      return text === undefined
        ? null
        : seenFrom(store.endpoint, parseMigrationState(text, store.label(key)));
    },
    write: async (state) => {
      const lease = held.get(key);
      if (lease === undefined)
        throw new TldrError('INTERNAL', `${store.label(key)} is written without a lease`);
      await lease.write({ record: stateText(state) });
    },
    remove: () => store.remove(key, held.get(key)?.mine ?? {}),
    lock: async () => {
      const lease = await leases.take(key, { about });
      held.set(key, lease);
      return { signal: lease.signal, unlock: () => release(key, lease) };
    },
    holder: () => leases.holder(key),
  });
  const share: StateLocation['share'] = ({ index, of }) => {
    const worker = `${index}/${of}`;
    const key = JSON.stringify([source, target, worker]);
    return { ...placeAt(key, `worker ${worker} of the migration ${source} -> ${target}`), share };
  };
  return { ...placeAt(mainKey, `migration ${source} -> ${target}`), share };
}

/** Returns the functions for the pause request and the throttle settings, which all workers share. */
function requestsIn(
  store: StateStore,
  key: string,
): Pick<StateLocation, 'setPaused' | 'isPaused' | 'readTuning' | 'writeTuning'> {
  const textOf = async (name: string): Promise<string | undefined> => (await store.read(key, [name]))?.[name];
  return {
    setPaused: (paused) => store.change(key, { paused: paused ? 'yes' : 'no' }, {}),
    isPaused: async () => (await textOf('paused')) === 'yes',
    readTuning: async () => {
      const text = await textOf('tuning');
      return text === undefined ? UNTHROTTLED : parseThrottleSettings(text, store.label(key));
    },
    writeTuning: (tuning) => store.change(key, { tuning: JSON.stringify(tuning) }, {}),
  };
}

/**
 * Returns the state with this endpoint for the server that holds it, since machines may know one server by
 * several addresses.
 */
function seenFrom(endpoint: string, state: MigrationState): MigrationState {
  const oneServer = state.sourceEndpoint === state.targetEndpoint;
  return {
    ...state,
    sourceEndpoint: oneServer ? endpoint : state.sourceEndpoint,
    targetEndpoint: endpoint,
  };
}
