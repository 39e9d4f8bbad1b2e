import { isTldrError, TldrError } from '../../core/errors.js';
import { planReEncoding, type ReEncoding } from '../../migrate/plan/re-encoding.js';
import { inEffect } from '../../migrate/state/migration-state.js';
import type { CopyTarget } from '../../store/copy-target.js';
import { stateBackendOf } from '../../store/target-description.js';
import { withConsole, withStore } from '../console/command-body.js';
import type { ConsoleRun } from '../console/command-output.js';
import { nextCommand } from '../console/next-commands.js';
import { start, type StartFlags } from './run-start-and-resume.js';
import { encoderOf, placeOf } from './migration-work.js';
import type { Config } from '../../config/load.js';

export interface ReencodeFlags extends Omit<StartFlags, 'layout' | 'vector' | 'compactName' | 'journal'> {
  readonly into?: string;
}

/** Runs `migrate reencode`. */
export function runReencode(target: string, flags: ReencodeFlags): Promise<void> {
  return withConsole(flags, (run, config) => reencode({ target, flags }, { run, config }));
}

async function reencode(
  { target: collection, flags }: { readonly target: string; readonly flags: ReencodeFlags },
  { run, config }: { readonly run: ConsoleRun; readonly config: Config },
): Promise<void> {
  const { encoder } = await encoderOf(flags.encoder, null);
  const { into } = flags;
  const planned = await withStore(config, run, async (store) => {
    const found = await planReEncoding(store, { collection, encoder, into });
    if (found !== null) await refuseUnfinished(found, { config, run, store });
    return found;
  });
  if (planned === null) {
    run.say(`nothing to do: ${collection} already has encoder ${encoder.fingerprint.slice(0, 16)}`);
    run.next([nextCommand(flags, { command: ['inspect'], names: [collection], flags: [] })]);
    run.result({ nothingToDo: true, collection, encoder: encoder.fingerprint });
    return;
  }
  const { before, request } = planned;
  const { targetCollection: target, vectorName: vector, compactName, layout, datatype } = request;
  run.say(
    `encoder ${before.encoder.slice(0, 16)} (${before.outputDim} dimensions) -> ${encoder.fingerprint.slice(0, 16)} (${encoder.outputDim} dimensions)`,
  );
  const chosen = flags.datatype ?? datatype;
  await start(
    {
      source: collection,
      target,
      flags: { ...flags, layout, vector, compactName, ...(chosen !== undefined && { datatype: chosen }) },
    },
    { run, config },
  );
  run.say(`the old collection ${collection} is unchanged`);
}

/** Refuses a collection that its own migration still fills: it would be copied half-filled. */
async function refuseUnfinished(
  { before, request: { sourceCollection: collection } }: ReEncoding,
  { config, run, store }: { readonly config: Config; readonly run: ConsoleRun; readonly store: CopyTarget },
): Promise<void> {
  const kept = stateBackendOf(await store.describe(collection)) ?? 'file';
  const pair = { source: before.source, target: collection };
  const state = await (await placeOf(pair, { state: kept }, { config, run, store })).read();
  if (state === null) return refuseFewerPoints(store, pair);
  if (state.completed) return;
  const isFilled = state.journal === undefined && (state.phase === 'verified' || inEffect(state));
  if (isFilled) return;
  throw new TldrError(
    'INVALID_ARGUMENT',
    `${collection} is still filled by the migration from ${before.source} (${state.phase}): finish it first, with \`migrate complete\``,
  );
}

/**
 * Without a migration state in this folder or in the database, only the source can show that a collection is complete.
 * @throws INVALID_ARGUMENT when the source still exists and holds another number of points
 */
async function refuseFewerPoints(
  store: CopyTarget,
  { source, target }: { readonly source: string; readonly target: string },
): Promise<void> {
  const expected = await store.count(source).catch((error: unknown) => {
    if (isTldrError(error, 'NOT_FOUND')) return null;
    throw error;
  });
  const points = await store.count(target);
  if (expected === null || expected === points) return;
  throw new TldrError(
    'INVALID_ARGUMENT',
    `${target} holds ${points} points and ${source}, from which it was made, ${expected}: it may not be complete, and the migration state that would say so is not here. Run the command in the folder of that state, or finish that migration first`,
  );
}
