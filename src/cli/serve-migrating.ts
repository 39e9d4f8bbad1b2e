import type { Config } from '../config/config.js';
import type { ServedSetting } from '../config/served-setting.js';
import { Encoder } from '../core/encoder.js';
import { messageOf, TldrError } from '../core/errors.js';
import type { FollowedFacts, WriteGuard } from '../core/followed.js';
import type { Log } from '../core/run.js';
import type { VectorStore } from '../core/vector-store.js';
import { FollowWrites } from '../migrate/follow-writes.js';
import { readPlan, type Side } from '../migrate/journal-state.js';
import { obeyPlan } from '../migrate/obey-plan.js';
import { WriteJournal } from '../migrate/write-journal.js';
import { openStore } from './options.js';
import { sourceNames } from './serve-collections.js';

const CATCH_UP_MS = 60_000;
/** What is not brought over now is tried again soon: other writes wait behind it. */
const RETRY = { attempts: 2, firstDelayMs: 100, longestDelayMs: 200 };

/** A collection that is being migrated. */
interface Migrating {
  readonly facts: FollowedFacts;
  readonly folder: string;
  readonly follower: FollowWrites;
  /** Fingerprint. */
  readonly encoder: string;
}

/** All collections that are being migrated, and what stands between them and their clients' writes. */
export interface MigratingCollections {
  readonly facts: readonly FollowedFacts[];
  readonly guard: WriteGuard;
  /** Which of a collection's sides clients read; by its configured name. */
  readonly sideOf: (name: string) => Side;
  /** Begins to do what the commands of the migrations want. */
  start(switchReads: () => Promise<void>): void;
  close(): Promise<void>;
}

/**
 * Opens the journals of collections that are being migrated, and brings over what was left.
 * @throws INVALID_ARGUMENT for a name that does not lead to the source, ALREADY_EXISTS for a journal in use,
 * INVALID_DATA for a damaged one, TIMEOUT where clients read the target and what was left cannot be brought there
 */
export async function openMigrating(config: Config, log: Log): Promise<MigratingCollections> {
  const opened: Migrating[] = [];
  const settings = Object.entries(config.collections).filter(([, { migrating }]) => migrating !== undefined);
  const store = settings.length === 0 ? null : await openStore(config, log, RETRY);
  let endings: (() => Promise<void>)[] = [];
  const close = async (): Promise<void> => {
    await Promise.all(endings.map((end) => end()));
    for (const { follower } of opened) await follower.close();
    await store?.close();
  };
  try {
    if (store !== null)
      for (const [name, setting] of settings) opened.push(await openOne(store, { name, setting, log }));
  } catch (error) {
    await close();
    throw error;
  }
  const of = (name: string): Migrating => {
    const found = opened.find(({ facts }) => facts.names[0] === name);
    if (found === undefined) throw new TldrError('INTERNAL', `${name} is not followed`);
    return found;
  };
  return {
    facts: opened.map(({ facts }) => facts),
    guard: { write: (collection, touched, send) => of(collection).follower.write(touched, send) },
    sideOf: (name) => of(name).follower.status().side,
    start: (switchReads) => {
      endings = opened.map(({ facts: { source, target }, folder, follower, encoder }) =>
        obeyPlan({ folder, follower, source, target, encoder, switchReads, log }),
      );
    },
    close,
  };
}

async function openOne(
  store: VectorStore,
  { name, setting, log }: { readonly name: string; readonly setting: ServedSetting; readonly log: Log },
): Promise<Migrating> {
  const { target, encoder: path, migrating } = setting;
  if (migrating === undefined) throw new TldrError('INTERNAL', `${name} is not being migrated`);
  const { source, journal: folder } = migrating;
  try {
    const facts = factsOf(name, { source, target }, await store.aliases());
    await store.describe(source);
    const encoder = await Encoder.load(path);
    const journal = await WriteJournal.open(folder);
    const names = { sourceCollection: source, targetCollection: target };
    const follower = new FollowWrites({ source: store, target: store, ...names, encoder, journal, log });
    await resume(follower, folder).catch(async (error: unknown) => {
      await follower.close();
      throw error;
    });
    return { facts, folder, follower, encoder: encoder.fingerprint };
  } catch (cause) {
    const code = cause instanceof TldrError ? cause.code : 'NOT_FOUND';
    throw new TldrError(code, `cannot follow writes to ${name}: ${messageOf(cause)}`, { cause });
  }
}

/** Where it was: clients never read a target that lacks what was written before. */
async function resume(follower: FollowWrites, folder: string): Promise<void> {
  const { state, side } = await readPlan(folder);
  // Where clients read the source, writes must go on whatever is wrong with the target.
  if (side === 'source') return;
  await follower.setState(state);
  await follower.caughtUp(CATCH_UP_MS);
  if (!(await follower.switchTo('target', () => Promise.resolve())))
    throw new TldrError('TIMEOUT', 'writes made before are not in the target');
}

/**
 * Writes go to the source as they are: whatever clients call it must be its own name or an alias of it. Nobody may
 * have another way to the target.
 */
function factsOf(
  name: string,
  { source, target }: Pick<FollowedFacts, 'source' | 'target'>,
  aliases: ReadonlyMap<string, string>,
): FollowedFacts {
  if (aliases.has(source))
    throw new TldrError('INVALID_ARGUMENT', `"${source}" is an alias: give the collection itself`);
  if (name !== source && aliases.get(name) !== source)
    throw new TldrError('INVALID_ARGUMENT', `"${name}" is neither ${source} nor an alias of it`);
  const other = [...aliases].find(([, to]) => to === target);
  if (other !== undefined)
    throw new TldrError('INVALID_ARGUMENT', `the alias "${other[0]}" leads to ${target}: remove it first`);
  return { names: sourceNames(name, source, aliases), source, target };
}
