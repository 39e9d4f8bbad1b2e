import { STATE_COLLECTION } from '../adapters.js';
import { strictModeSearchLimits } from '../proxy-adapter.js';
import { errorText } from '../console/advice.js';
import type { Config } from '../../config/load.js';
import type { ServedCollectionSettings } from '../../config/served-collection-settings.js';
import { Encoder } from '../../encoder/model.js';
import { readEncoderFile } from '../../encoder/file.js';
import { farFromSample } from '../../encoder/sample-summary.js';
import { isTldrError, TldrError } from '../../core/errors.js';
import type { Aliases } from '../../store/write-interceptor.js';
import type { Log } from '../../core/run-options.js';
import { allNames } from '../../store/facets.js';
import { checkServed } from '../../store/check-served.js';
import type { ServedCollection } from '../../store/served.js';
import type { CopyTarget } from '../../store/copy-target.js';
import { readDesiredState } from '../../migrate/dual-write/proxy-state-files.js';
import type { SampleComparison } from '../../serve/drift-meter.js';
import { openStore } from '../console/command-body.js';

/** Few and fast attempts, because a client waits meanwhile. */
const LIMITS_RETRY = { attempts: 3, firstDelayMs: 100, longestDelayMs: 1_000 };

/** A checked collection, with everything that is needed to serve it. */
export interface LoadedCollection {
  readonly served: ServedCollection;
  /** The encoder file's content. */
  readonly encoder: Uint8Array;
  /** The full collection that shadow searches compare with. */
  readonly full: string | undefined;
  /** Compares vectors with the encoder's training sample; null if the encoder file does not tell where it lies. */
  readonly comparison: SampleComparison | null;
}

/** Decides whether clients read the target of a collection, by its configured name. */
export type ReadsTarget = (name: string, setting: ServedCollectionSettings) => boolean | Promise<boolean>;

/**
 * Reads from the journal folder which side the migration's commands want; for processes without an open
 * journal.
 */
const readsTargetByPlan: ReadsTarget = async (_name, { migrating }) =>
  migrating === undefined || (await readDesiredState(migrating.journal)).side === 'target';

/**
 * Loads the encoders of the configured collections and checks every one against its target.
 * @throws INVALID_ARGUMENT when nothing is configured or a target was not made by a migration, MISMATCH when
 * encoder, dimensions or layout differ from the target's, NOT_FOUND, and the errors of opening the server
 */
export async function loadCollections(
  config: Config,
  log: Log,
  readsTarget: ReadsTarget = readsTargetByPlan,
): Promise<readonly LoadedCollection[]> {
  const settings = Object.entries(config.collections);
  if (settings.length === 0)
    throw new TldrError(
      'INVALID_ARGUMENT',
      'nothing to serve: give --collection, --target and --encoder, or a configuration file with "collections"',
    );
  for (const [name, { target, migrating }] of settings)
    if ([name, target, migrating?.source].includes(STATE_COLLECTION))
      throw new TldrError(
        'INVALID_ARGUMENT',
        `${STATE_COLLECTION} holds the states of migrations and is not served: name another collection`,
      );
  const store = await openStore(config, log);
  try {
    const aliases = await allNames(store);
    const loaded: LoadedCollection[] = [];
    for (const [name, setting] of settings)
      if (await readsTarget(name, setting)) loaded.push(await load(store, { name, setting, aliases }));
    return loaded;
  } finally {
    await store.close();
  }
}

async function load(
  store: CopyTarget,
  wanted: {
    readonly name: string;
    readonly setting: ServedCollectionSettings;
    readonly aliases: Aliases;
  },
): Promise<LoadedCollection> {
  const { name, setting, aliases } = wanted;
  try {
    const encoder = await readEncoderFile(setting.encoder);
    const projector = Encoder.fromBytes(encoder, setting.encoder);
    const comparison = comparisonOf(projector);
    const spec = await store.describe(setting.target);
    const served = checkServed({
      name,
      spec,
      aliases,
      options: setting,
      ...strictModeSearchLimits(spec),
      projector,
    });
    if (setting.full !== undefined) await checkFull(store, setting.full, served);
    const sampled = {
      ...served,
      recordsQueries: setting.recordQueries !== undefined,
      comparesWithSample: comparison !== null,
    };
    return renamed({ served: sampled, encoder, full: setting.full, comparison }, setting, aliases);
  } catch (cause) {
    if (!isTldrError(cause)) throw cause;
    throw new TldrError(cause.code, `cannot serve ${name}: ${cause.message}`, { cause });
  }
}

function comparisonOf(encoder: Encoder): SampleComparison | null {
  const { sample, fingerprint } = encoder;
  if (sample === null) return null;
  return {
    encoder: fingerprint,
    expectedShare: sample.expectedShare,
    farFromSample: (compact, as) => farFromSample(sample, compact, as),
  };
}

/**
 * Returns the collection whose limits were read again with its new limits; any other collection unchanged.
 */
export type Relimited = (one: LoadedCollection) => LoadedCollection;

/**
 * Reads the limits of a target again and returns a function that applies them. Never fails: if they cannot be
 * read, the old limits stay and the log says so.
 */
export async function limitsOfNow(
  changed: LoadedCollection | undefined,
  { config, log }: { readonly config: Config; readonly log: Log },
): Promise<Relimited> {
  if (changed === undefined) return (one) => one;
  const { target } = changed.served;
  try {
    const store = await openStore(config, log, LIMITS_RETRY);
    try {
      const limits = strictModeSearchLimits(await store.describe(target));
      return (one) => (one === changed ? { ...one, served: { ...one.served, ...limits } } : one);
    } finally {
      await store.close();
    }
  } catch (error) {
    log('warn', `cannot read the limits of ${target} again, send SIGHUP to do so: ${errorText(error)}`);
    return (one) => one;
  }
}

/**
 * Returns a collection with every name that reaches it by these aliases, the configured name first. Until a
 * migration is over, clients know the target by the names of its source.
 */
export function renamed(
  loaded: LoadedCollection,
  setting: ServedCollectionSettings,
  aliases: Aliases,
): LoadedCollection {
  const { served } = loaded;
  const [name = served.target] = served.names;
  const collection = setting.migrating?.source ?? served.target;
  const own = setting.migrating === undefined ? [name] : [name, collection];
  const others = [...aliases].filter(([, to]) => to === collection).map(([alias]) => alias);
  return { ...loaded, served: { ...served, names: [...new Set([...own, ...others])] } };
}

/**
 * @throws NOT_FOUND when the full collection does not exist
 * @throws MISMATCH when the target cannot have been made from this collection
 */
async function checkFull(store: CopyTarget, full: string, served: ServedCollection): Promise<void> {
  const { vectors } = await store.describe(full);
  const dim = vectors.find((one) => one.name === served.vector)?.dim;
  if (dim !== served.inputDim)
    throw new TldrError(
      'MISMATCH',
      `full collection ${full}: dimension of vector "${served.vector}" is ${dim ?? 'missing'}, expected ${served.inputDim}`,
    );
}

/** The facts about a served collection for `--json`. */
export function describeServed({
  served,
  full,
  comparison,
}: LoadedCollection): Readonly<Record<string, unknown>> {
  const { names, target, layout, vector, inputDim, outputDim, oversampling, projector } = served;
  return {
    names,
    target,
    layout,
    vector,
    inputDim,
    outputDim,
    oversampling,
    full: full ?? null,
    expectedFarShare: comparison?.expectedShare ?? null,
    encoder: projector.fingerprint.slice(0, 16),
  };
}

/** One line about a served collection. */
export function servedLine({ served, full }: LoadedCollection): string {
  const { names, target, layout, inputDim, outputDim } = served;
  const compared = full === undefined ? '' : `, compared with ${full}`;
  return `${names.join(', ')} -> ${target} (${layout}, ${inputDim} -> ${outputDim} dimensions${compared})`;
}
