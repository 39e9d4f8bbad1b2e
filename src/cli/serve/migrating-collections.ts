import { errorText } from '../console/advice.js';
import type { Config } from '../../config/load.js';
import type { ServedCollectionSettings } from '../../config/served-collection-settings.js';
import { Encoder } from '../../encoder/model.js';
import { readEncoderFile } from '../../encoder/file.js';
import { messageOf, TldrError } from '../../core/errors.js';
import { keepsJournal } from '../../store/target-description.js';
import type { Aliases, MirroredFacts, WriteInterceptor } from '../../store/write-interceptor.js';
import { RedirectError } from '../../core/masked-address-and-redirect.js';
import type { Log } from '../../core/run-options.js';
import type { CopyTarget } from '../../store/copy-target.js';
import { DualWriter } from '../../migrate/dual-write/mirror-writes.js';
import { ownerOf } from '../../migrate/dual-write/journal-entries.js';
import { readDesiredState, type Side } from '../../migrate/dual-write/proxy-state-files.js';
import type { NamesCheck } from '../../migrate/dual-write/names-check.js';
import { runReconciler } from '../../migrate/dual-write/reconciler.js';
import { setAsideText } from '../../migrate/dual-write/points-set-aside.js';
import { WriteJournal } from '../../migrate/dual-write/write-journal.js';
import type { CurrentAliases } from './current-aliases.js';
import type { CurrentNames } from './current-names.js';
import { mirroredVectors } from './mirrored-vectors.js';
import { openStore } from '../console/command-body.js';
import type { LoadedMirrored } from './rewriters.js';

/** How old the aliases may be when names are checked before the collections are read or written. */
const NAMES_FRESH_MS = 100;
const CATCH_UP_MS = 60_000;
/** How often aliases are read if no write needs them: reads are routed by them too. */
const ALIASES_MS = 1_000;
/** Few attempts: a write that fails is tried again soon, and other writes wait behind it. */
const RETRY = { attempts: 2, firstDelayMs: 100, longestDelayMs: 200, turnMs: 0 };

/** A collection that is being migrated. */
interface Migrating {
  loaded: LoadedMirrored;
  readonly folder: string;
  readonly dualWriter: DualWriter;
  /** Reads the vector settings of source and target again. */
  readonly describe: () => Promise<void>;
}

/** All collections that are being migrated, and the interceptor of their clients' writes. */
export interface MigratingCollections {
  readonly mirrored: () => readonly LoadedMirrored[];
  readonly guard: WriteInterceptor;
  /** The side that clients of a collection read; by its configured name. */
  readonly sideOf: (name: string) => Side;
  /** Begins to carry out the requests of the migration's commands. */
  start(switchReads: () => Promise<void>): void;
  close(): Promise<void>;
}

/**
 * Opens the journals of collections that are being migrated, and brings over the writes that are still in
 * them.
 * @throws INVALID_ARGUMENT for a name that does not lead to the source, ALREADY_EXISTS for a journal in use,
 * INVALID_DATA for a damaged one, TIMEOUT when clients read the target and these writes cannot be brought
 * there
 */
export async function openMigrating(
  config: Config,
  names: CurrentNames,
  log: Log,
): Promise<MigratingCollections> {
  const { aliases } = names;
  const opened: Migrating[] = [];
  const settings = Object.entries(config.collections).filter(([, { migrating }]) => migrating !== undefined);
  const store = settings.length === 0 ? null : await openStore(config, log, RETRY);
  let endings: (() => Promise<void>)[] = [];
  let timer: NodeJS.Timeout | undefined;
  const close = async (): Promise<void> => {
    clearInterval(timer);
    for (const { dualWriter } of opened) dualWriter.giveUp();
    await Promise.all(endings.map((end) => end()));
    for (const { dualWriter } of opened) await dualWriter.close();
    await store?.close();
  };
  try {
    if (store !== null)
      for (const [name, setting] of settings)
        opened.push(await openOne(store, { name, setting, aliases, log }));
  } catch (error) {
    await close();
    throw error;
  }
  const of = (name: string): Migrating => {
    const found = opened.find(({ loaded }) => loaded.mirrored.name === name);
    if (found === undefined) throw new TldrError('INTERNAL', `${name} is not being migrated`);
    return found;
  };
  return {
    mirrored: () => opened.map(({ loaded }) => loaded),
    guard: {
      isKnown: (collection) => names.isKnown(collection),
      isCollection: (name) => names.isCollection(name),
      aliases: () => aliases.read().catch(asUnavailable),
      write: (collection, touched, send) => of(collection).dualWriter.write(touched, send),
    },
    sideOf: (name) => of(name).dualWriter.status().side,
    start: (switchReads) => {
      if (store !== null)
        timer = setInterval(() => void aliases.read().catch(() => undefined), ALIASES_MS).unref();
      endings = opened.map(({ loaded: { mirrored }, folder, dualWriter, describe }) => {
        const { source, target, projector } = mirrored;
        const copied = async (): Promise<void> => {
          await describe();
          await switchReads();
        };
        const encoder = projector.fingerprint;
        return runReconciler({ folder, dualWriter, source, target, encoder, copied, switchReads, log });
      });
    },
    close,
  };
}

async function openOne(
  store: CopyTarget,
  {
    name,
    setting,
    aliases,
    log,
  }: {
    readonly name: string;
    readonly setting: ServedCollectionSettings;
    readonly aliases: CurrentAliases;
    readonly log: Log;
  },
): Promise<Migrating> {
  const { target, encoder: path, migrating } = setting;
  if (migrating === undefined) throw new TldrError('INTERNAL', `${name} is not being migrated`);
  const { source, journal: folder } = migrating;
  try {
    const bytes = await readEncoderFile(path);
    const encoder = Encoder.fromBytes(bytes, path);
    const own = factsOf(name, { source, target }, await aliases.read());
    const checkNames = namesCheck(aliases, [source, target]);
    const vectors = await mirroredVectors(store, own, encoder);
    const journal = await WriteJournal.open(folder, {
      expectedBy: await journalExpectedBy(store, target),
      owner: ownerOf({ source, target }),
    });
    const names = { sourceCollection: source, targetCollection: target };
    const sides = { source: store, target: store, ...names, checkNames };
    const dualWriter = new DualWriter({ ...sides, encoder, journal, log });
    await endInterrupted(store, target).catch((error: unknown) => {
      log(
        'warn',
        `${target} may still have temporary settings of an interrupted write, and they cannot be reset: ${errorText(error)}`,
      );
    });
    await resume(dualWriter, { folder, log }).catch(async (error: unknown) => {
      await dualWriter.close();
      throw error;
    });
    const loaded = { mirrored: { ...own, ...vectors, projector: encoder }, encoder: bytes };
    const describe = async (): Promise<void> => {
      await checkNames('recently');
      const described = await mirroredVectors(store, own, encoder);
      await checkNames('now');
      one.loaded = { ...loaded, mirrored: { ...loaded.mirrored, ...described } };
    };
    const one: Migrating = { loaded, folder, dualWriter, describe };
    return one;
  } catch (cause) {
    const code = cause instanceof TldrError ? cause.code : 'NOT_FOUND';
    throw new TldrError(code, `cannot bring over writes to ${name}: ${messageOf(cause)}`, { cause });
  }
}

/**
 * @throws UNAVAILABLE with the cause, also when the server refuses the proxy's own key; a RedirectError
 * unchanged
 */
function asUnavailable(cause: unknown): never {
  if (cause instanceof RedirectError) throw cause;
  throw new TldrError('UNAVAILABLE', `the aliases of the server cannot be read: ${messageOf(cause)}`, {
    cause,
  });
}

/**
 * Returns a check that no alias has the name of one of these collections: the alias would hide the
 * collection, and requests by that name would reach another one.
 */
function namesCheck(aliases: CurrentAliases, names: readonly string[]): NamesCheck {
  return async (when) => {
    const { latest, readAtMs } = aliases;
    const isFresh = when === 'recently' && performance.now() - readAtMs <= NAMES_FRESH_MS;
    const current = isFresh && latest !== null ? latest : await aliases.read().catch(asUnavailable);
    const hidden = names.find((name) => current.has(name));
    if (hidden !== undefined)
      throw new TldrError(
        'UNAVAILABLE',
        `the alias "${hidden}" hides the collection of that name, which is being migrated: remove the alias`,
      );
  };
}

/** Deletes no points: with this write the store resets target settings that a killed process left changed. */
async function endInterrupted(store: CopyTarget, target: string): Promise<void> {
  if (await store.exists(target)) await store.remove(target, []);
}

/** Returns why a journal must exist, or null: a lost journal would look like one that was never begun. */
async function journalExpectedBy(store: CopyTarget, target: string): Promise<string | null> {
  const isKept = (await store.exists(target)) && keepsJournal(await store.describe(target));
  return isKept ? `the metadata of ${target} says that writes are journalled for it` : null;
}

/**
 * Continues at the state before the restart: clients never read a target that lacks earlier writes. If the
 * target cannot hold a point, clients read the source, which holds every write, until the point is changed.
 */
async function resume(
  dualWriter: DualWriter,
  { folder, log }: { readonly folder: string; readonly log: Log },
): Promise<void> {
  const { state, side } = await readDesiredState(folder);
  // If clients read the source, writes must go on, whatever is wrong with the target.
  if (side === 'source') return;
  await dualWriter.setState(state);
  await dualWriter.caughtUp(CATCH_UP_MS);
  const { setAside } = dualWriter.status();
  if (setAside !== null) {
    log('warn', `clients read the source until this is settled: ${setAsideText(setAside)}`);
    return;
  }
  if (!(await dualWriter.switchTo('target', () => Promise.resolve())))
    throw new TldrError('TIMEOUT', 'writes made before are not in the target');
}

/** Returns the names, after checking that `name` leads to the source and no alias leads to the target. */
function factsOf(
  name: string,
  { source, target }: Pick<MirroredFacts, 'source' | 'target'>,
  aliases: Aliases,
): Pick<MirroredFacts, 'name' | 'source' | 'target'> {
  const hidden = [source, target].find((own) => aliases.has(own));
  if (hidden !== undefined)
    throw new TldrError('INVALID_ARGUMENT', `"${hidden}" is an alias: give the collection itself`);
  if (name !== source && aliases.get(name) !== source)
    throw new TldrError('INVALID_ARGUMENT', `"${name}" is neither ${source} nor an alias of it`);
  const other = [...aliases].find(([, to]) => to === target);
  if (other !== undefined)
    throw new TldrError('INVALID_ARGUMENT', `the alias "${other[0]}" leads to ${target}: remove it first`);
  return { name, source, target };
}
