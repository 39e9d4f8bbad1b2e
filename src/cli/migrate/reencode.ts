import { Command, Option } from 'commander';
import type { Config } from '../../config/load.js';
import { isTldrError, TldrError } from '../../core/errors.js';
import { planReEncoding, type ReEncoding } from '../../migrate/plan/re-encoding.js';
import { inEffect } from '../../migrate/state/migration-state.js';
import { DATATYPES, QUANTIZATIONS } from '../../store/collection.js';
import type { CopyTarget } from '../../store/copy-target.js';
import { stateBackendOf } from '../../store/target-description.js';
import { withConsole, withGlobalFlags, withStore, withWriteFlags } from '../console/options.js';
import type { ConsoleRun } from '../console/command-output.js';
import { shellCommand } from '../console/shell-command.js';
import { withHookFlags } from './hooks.js';
import { start, withCopyFlags, type StartFlags } from './start-and-resume.js';
import { encoderOf, placeOf, withPlaceFlags } from './state-flags.js';

interface ReencodeFlags extends Omit<StartFlags, 'layout' | 'vector' | 'compactName' | 'journal'> {
  readonly into?: string;
}

const HELP = `
Reads   the two-stage collection, which is never written to, and the encoder file
Writes  a new two-stage collection, and the migration state (--record or --state), which is saved before each step

Examples:
  qdrant-tldr migrate reencode docs_2s --encoder new.onnx --dry-run
  qdrant-tldr migrate reencode docs_2s --encoder new.onnx --yes
  qdrant-tldr migrate reencode docs_2s --encoder new.onnx --into docs_v2 --catch-up --yes

The full vectors are read from the two-stage collection itself. The collection from which it was made is not
needed any more. The old collection serves with the old encoder until the switch, and afterwards it is the way
back. After a crash or Ctrl-C, the same command continues.

The new collection is called as the old one, with the beginning of the new encoder's fingerprint, unless you
give --into. Every other command of a migration works on the two: status, resume, verify, cutover, rollback,
complete, abort.

Documentation: docs/migrate-reencode.md`;

/** `migrate reencode`: gives a two-stage target a new encoder. */
export function reencodeCommand(): Command {
  const command = withPlaceFlags(new Command('reencode').argument('<target>', 'two-stage collection'))
    .description('Give a two-stage collection a new encoder, from the full vectors that it keeps.')
    .requiredOption('--encoder <file>', 'the new encoder, trained for the full vectors')
    .option('--into <name>', 'name of the new collection (default: <target>_<fingerprint of the encoder>)')
    .addOption(
      new Option(
        '--datatype <name>',
        'datatype of the compact vector (default: as the old migration chose it)',
      ).choices(DATATYPES.filter((name) => name !== 'uint8')),
    )
    .addOption(
      new Option(
        '--quantization <name>',
        'shorter codes in memory, and the compact vector on disk (default: as the old compact vector has it)',
      ).choices([...QUANTIZATIONS]),
    )
    .action((target: string, flags: ReencodeFlags) =>
      withConsole(flags, (run, config) => reencode({ target, flags }, { run, config })),
    );
  command.addHelpText('after', HELP);
  return withWriteFlags(withGlobalFlags(withHookFlags(withCopyFlags(command))));
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
  const next = shellCommand({ command: ['migrate', 'status'], names: [collection, target], flags: [] });
  run.say(`the old collection ${collection} is unchanged; \`${next}\` says the next step`);
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
