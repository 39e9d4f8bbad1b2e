import { Option, type Command } from 'commander';
import { TldrError } from '../../core/errors.js';
import { targetDescription, type TargetDescription } from '../../store/target-description.js';
import type { CatchUpRequest } from '../../migrate/catch-up/passes.js';
import {
  cutOver,
  FORCE_WORDS,
  planCutOver,
  type CutOverRequest,
  type Switch,
} from '../../migrate/cutover/cut-over-by-alias.js';
import { readRecorded } from '../../migrate/state/locked.js';
import type { MigrationState } from '../../migrate/state/migration-state.js';
import { FORCE_BACK_WORDS, planRollBack, rollBack, type WayBack } from '../../migrate/cutover/roll-back.js';
import { hooksOf, withHookFlags, type HookFlags } from './hooks.js';
import { checkCatchUpFlags, lagMaxOf, passesText, withCatchUpFlags, type CatchUpFlags } from './catch-up.js';
import { encoderOf, recordedCommand, withMigration, type RecordedWork, type RecordFlags } from './state.js';
import { seconds, wholeNumber } from '../console/options.js';

/** Longest freeze, and longest wait for the proxy, where nobody says. */
const FREEZE_SECONDS = 60;
const WAIT_SECONDS = 60;

interface ExecuteFlags extends RecordFlags {
  readonly execute?: boolean;
}

interface RollbackFlags extends ExecuteFlags {
  readonly force?: string;
}

interface CutoverFlags extends ExecuteFlags, HookFlags, CatchUpFlags {
  readonly allowLag?: number;
  readonly freezeMax?: number;
  readonly encoder?: string;
  readonly alias?: string;
  readonly bareName?: boolean;
  readonly by?: 'proxy';
  readonly waitMax: number;
  readonly force?: string;
}

const EXECUTE = 'do it; without this, only say what would happen';

/** `migrate cutover`: send clients to the target. */
export function cutoverCommand(): Command {
  const command = recordedCommand('cutover', {
    description:
      'Send clients to the target by one atomic switch, of a name or in the proxy. A dry run unless --execute is given.',
    examples: `Examples:
  qdrant-tldr migrate cutover docs docs_c96 --alias search
  qdrant-tldr migrate cutover docs docs_c96 --alias search --execute --on before-cutover ./stop-writers.sh
  qdrant-tldr migrate cutover docs docs_2s --bare-name --execute
  qdrant-tldr migrate cutover docs docs_c96 --by proxy
  qdrant-tldr migrate cutover docs docs_c96 --by proxy --execute

--by proxy is for a migration begun with --journal: no name changes, the proxy answers reads from the target from one
moment on, at which it holds every write that was answered. No request fails, nobody pauses; writes wait for three
seconds at most. The source goes on taking every write, so that the way back loses nothing. Where the proxy does not
come to it within --wait-max, clients stay where they are.

Where clients write to the source until then, by no proxy:
  qdrant-tldr migrate cutover docs docs_c96 --alias search --catch-up --execute --on before-cutover ./stop-writers.sh
follows the source until few points differ, stops the writers by that command, makes the rest equal and switches; how
long the writers were stopped is measured. What goes wrong after the stop runs --on cutover-failed.

Never before every point was verified, unless --force "${FORCE_WORDS}".
A before-cutover hook that fails stops it.

--bare-name is for clients that use the collection's own name: the name is made to lead to the target while the
source stays, hidden behind it. The server does this but does not promise it, so it is tried on two scratch
collections first. Danger: between the peers of a cluster names are resolved twice, and searches and writes would go
half into the wrong collection; clusters are refused, and a server must not become one while a name is switched so.
While it is, nobody may delete the collection by that name: the hidden source would be deleted.`,
  })
    .option('--alias <name>', 'the alias that clients use')
    .option('--bare-name', "switch the source's own name instead of an alias; single servers only, see below")
    .addOption(
      new Option(
        '--by <who>',
        'by the proxy that follows the writes, in place of --alias and --bare-name',
      ).choices(['proxy']),
    )
    .option(
      '--wait-max <time>',
      'with --by proxy: leave clients where they are after that',
      seconds,
      WAIT_SECONDS,
    )
    .option('--encoder <file>', 'with --catch-up: encoder file (default: the one that the record names)')
    .option(
      '--freeze-max <time>',
      `with --catch-up: give up, with nothing switched, after that (default: ${FREEZE_SECONDS}s)`,
      seconds,
    )
    .option('--allow-lag <n>', 'with --catch-up: no freeze; switch while up to n points differ', wholeNumber)
    .option('--force <words>', `"${FORCE_WORDS}": switch without a verification`)
    .option('--execute', EXECUTE);
  return withHookFlags(withCatchUpFlags(command)).action(
    (source: string, target: string, flags: CutoverFlags) =>
      withMigration({ source, target }, flags, (work) => cutover(work, flags)),
  );
}

/** `migrate rollback`: the state before the cut-over. */
export function rollbackCommand(): Command {
  return recordedCommand('rollback', {
    description:
      'Send clients back to where they were before the cut-over. A dry run unless --execute is given.',
    examples: `Examples:
  qdrant-tldr migrate rollback docs docs_c96
  qdrant-tldr migrate rollback docs docs_c96 --execute

What clients wrote to the target since the cut-over is not in the source, unless the cut-over was made by the proxy:
then both sides have it. Without a living proxy clients go back when it is started again. Where that one was ended, an
entry without "migrating" may have written to the target alone since: refused, unless --force
"${FORCE_BACK_WORDS}".`,
  })
    .option('--force <words>', `"${FORCE_BACK_WORDS}": where the proxy was ended`)
    .option('--execute', EXECUTE)
    .action((source: string, target: string, flags: RollbackFlags) =>
      withMigration({ source, target }, flags, (work) => rollback(work, flags)),
    );
}

async function cutover(work: RecordedWork, flags: CutoverFlags): Promise<void> {
  const { run, config, store } = work;
  const { alias, force } = flags;
  const form = formOf(flags);
  const hook = hooksOf(flags, config, run.signal);
  const record = await readRecorded(work);
  const catchUp = await catchUpOf(work, flags, record);
  const { signal, log, onProgress } = run;
  const plain: CutOverRequest = { ...work, form, alias, force, hook, signal, log, onProgress };
  const request = { ...plain, catchUp, waitMs: flags.waitMax * 1000 };
  const planned = await planCutOver(request, record);
  const facts = targetDescription(await store.describe(record.targetCollection));
  for (const line of form === 'proxy' ? proxyOutcomes(planned, flags) : outcomes(planned, facts))
    run.say(line);
  if (catchUp !== undefined && !planned.made) for (const line of catchUpLines(catchUp)) run.say(line);
  if (flags.execute !== true) {
    run.say('dry run: nothing was changed; --execute does it');
    run.result({ dryRun: true, ...planned });
    return;
  }
  const { name, to, made, caughtUp, frozenMs } = await cutOver(request);
  if (form === 'proxy') run.say(`clients of the proxy read ${to}${made ? ' already' : ' now'}`);
  else run.say(`"${name}" ${made ? 'led' : 'leads'} to ${to}${made ? ' already' : ' now'}`);
  if (caughtUp !== null)
    run.say(
      `${passesText(caughtUp.passes)}; ${caughtUp.lag} points differed in the last one; ${((frozenMs ?? 0) / 1000).toFixed(2)} s from the before-cutover hook to the switch`,
    );
  run.result({ dryRun: false, ...planned, caughtUp, frozenMs });
}

function formOf({ alias, bareName = false, by }: CutoverFlags): CutOverRequest['form'] {
  if ([alias !== undefined, bareName, by !== undefined].filter(Boolean).length !== 1)
    throw new TldrError('INVALID_ARGUMENT', 'give one of --alias <name>, --bare-name and --by proxy');
  if (by !== undefined) return by;
  return bareName ? 'bare-name' : 'alias';
}

async function catchUpOf(
  { config }: RecordedWork,
  flags: CutoverFlags,
  record: MigrationState,
): Promise<CatchUpRequest | undefined> {
  const { allowLag, freezeMax = FREEZE_SECONDS } = flags;
  checkCatchUpFlags(flags);
  if (flags.catchUp !== true) {
    if (flags.freezeMax !== undefined)
      throw new TldrError('INVALID_ARGUMENT', '--freeze-max needs --catch-up');
    if (allowLag !== undefined) throw new TldrError('INVALID_ARGUMENT', '--allow-lag needs --catch-up');
    return undefined;
  }
  const { encoder } = await encoderOf(flags.encoder, record);
  return {
    encoder,
    lagMax: allowLag ?? lagMaxOf(flags),
    withoutFreeze: allowLag !== undefined,
    freezeMsMax: freezeMax * 1000,
    batchSize: config.batchSize,
  };
}

function catchUpLines({ lagMax, withoutFreeze, freezeMsMax }: CatchUpRequest): string[] {
  const before = `before that: the source is compared again until no more than ${lagMax} points differ`;
  if (withoutFreeze === true)
    return [
      before,
      `  then the switch, with clients writing: what differs then, and what they still write to the source, is not in the target`,
    ];
  return [
    before,
    `  then the before-cutover hook, which has to stop the writers, and the rest within ${freezeMsMax / 1000} s, else nothing is switched`,
  ];
}

function outcomes({ form, name, from, to, made }: Switch, facts: TargetDescription | null): string[] {
  if (made) return [`"${name}" leads to ${to} already`];
  const before = from === null ? 'nothing: the alias is made new, and nobody uses it yet' : from;
  const lines = [
    `"${name}" leads to ${before}`,
    `if it succeeds: every request to "${name}" reaches ${to} from one moment on`,
  ];
  if (form === 'bare-name')
    lines.push(`  ${from ?? ''} stays, hidden behind its name; nobody may delete "${name}"`);
  if (facts?.layout === 'compact')
    lines.push(
      `  its vectors have ${facts.outputDim} dimensions: clients must project their queries and points`,
    );
  if (facts?.layout === 'two-stage')
    lines.push(
      `  queries of ${facts.inputDim} dimensions still work, but compare every vector unless clients prefetch on "${facts.compact}" or use the proxy`,
    );
  lines.push(
    `if it fails: "${name}" leads where it leads now, clients notice nothing, and this can be run again`,
    'the way back: `migrate rollback`, without what clients write to the target until then',
  );
  return lines;
}

function proxyOutcomes({ from, to, made }: Switch, { waitMax }: CutoverFlags): string[] {
  if (made) return [`clients of the proxy read ${to} already`];
  return [
    `clients of the proxy read ${from ?? ''}`,
    `if it succeeds: the proxy answers every read from ${to} from one moment on, at which it holds every write that was answered`,
    `  no request fails, writes wait for 3 s at most; they go on to ${from ?? ''} as well`,
    `if it fails, or the proxy does not do it within ${waitMax} s: clients go on reading ${from ?? ''}, and this can be run again`,
    'the way back: `migrate rollback`, with everything that clients write until then',
  ];
}

async function rollback(work: RecordedWork, flags: RollbackFlags): Promise<void> {
  const { run, store } = work;
  const record = await readRecorded(work);
  const { force } = flags;
  const way = await planRollBack({ ...work, force }, record);
  for (const line of way.form === 'proxy' ? proxyWaysBack(way) : waysBack(way)) run.say(line);
  const { verifiedPoints, targetCollection } = record;
  if (way.form !== 'proxy') {
    const now = await store.count(targetCollection);
    if (verifiedPoints !== null && now !== verifiedPoints)
      run.say(`  ${targetCollection} had ${verifiedPoints} points when it was verified and has ${now} now`);
  }
  if (flags.execute !== true) {
    run.say('dry run: nothing was changed; --execute does it');
    run.result({ dryRun: true, ...way });
    return;
  }
  const { signal, log, onProgress } = run;
  const { proxyLives } = await rollBack({ ...work, force, signal, log, onProgress });
  if (proxyLives === false)
    run.say(`no proxy lives: clients read ${way.to ?? ''} as soon as one is started again`);
  else if (proxyLives === true) run.say(`clients of the proxy read ${way.to ?? ''} now`);
  else run.say(way.to === null ? `the alias "${way.name}" is removed` : `"${way.name}" leads to ${way.to}`);
  run.result({ dryRun: false, ...way, proxyLives });
}

function waysBack({ name, from, to, made }: WayBack): string[] {
  if (made) return [`"${name}" leads where it led before already; only the record is put right`];
  return [
    `"${name}" leads to ${from ?? 'nothing'}`,
    to === null
      ? `if it succeeds: "${name}" is removed, as before the cut-over; clients that use it get errors`
      : `if it succeeds: every request to "${name}" reaches ${to} from one moment on, without what was written to ${from ?? ''} since the cut-over`,
    `if it fails: "${name}" leads where it leads now, and this can be run again`,
  ];
}

function proxyWaysBack({ from, to, made, proxyLives, journalledUntil }: WayBack): string[] {
  const when = proxyLives === true ? 'at once' : 'when it is started again: none lives now';
  if (made) return [`clients of the proxy read ${to ?? ''} already; only the record is put right`];
  return [
    `clients of the proxy read ${from ?? ''}`,
    `if it succeeds: the proxy answers every read from ${to ?? ''}, ${when}; everything that was written by it since the cut-over is there`,
    ...(proxyLives === true
      ? []
      : [`  what was written to ${from ?? ''} past it since ${journalledUntil ?? 'then'} is not`]),
    `if it fails: clients go on reading ${from ?? ''}, and this can be run again`,
  ];
}
