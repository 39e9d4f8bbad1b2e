import { chooseCourse, type GivenNames } from './in-place/choose-course.js';
import type { CutoverTableFlags } from './in-place/run-change.js';
import {
  FREEZE_SECONDS,
  checkCatchUpFlags,
  lagMaxOf,
  passesText,
  type CatchUpFlags,
} from './catch-up-flags.js';
import { expectDefined, TldrError } from '../../core/errors.js';
import { targetDescription, type TargetDescription } from '../../store/target-description.js';
import type { CatchUpRequest } from '../../migrate/catch-up/repeat-passes.js';
import {
  cutOver,
  planCutOver,
  type CutOverRequest,
  type Switch,
} from '../../migrate/cutover/cut-over-by-alias.js';
import { readMigrationState } from '../../migrate/state/with-lock.js';
import type { MigrationState } from '../../migrate/state/migration-state.js';
import { planRollBack, rollBack, type WayBack } from '../../migrate/cutover/roll-back.js';
import {
  clientsMeet,
  tryFullQuery,
  type CompactTarget,
} from '../../migrate/cutover/clients-of-compact-target.js';
import { findRunningProxy, type RunningProxy } from '../serve/find-running-proxy.js';
import { clientsLine, nextCommand, sameCommandWith, type MadeCollection } from '../console/next-commands.js';
import { nextSteps, encoderOf, withMigration, type MigrationWork } from './migration-work.js';
import { type HookFlags, hooksOf } from './hooks.js';
import type { StateFlags } from './state-flags.js';

interface ExecuteFlags extends StateFlags {
  readonly execute?: boolean;
}

export interface RollbackFlags extends ExecuteFlags {
  readonly force?: string;
}

export interface CutoverFlags extends ExecuteFlags, HookFlags, CatchUpFlags {
  readonly allowLag?: number;
  readonly freezeMax?: number;
  readonly encoder?: string;
  readonly alias?: string;
  readonly bareName?: boolean;
  readonly by?: 'proxy';
  readonly waitMax: number;
  readonly clientsProject?: boolean;
  readonly force?: string;
}

/** Runs `migrate cutover`. */
export function runCutover(names: GivenNames, flags: CutoverFlags & CutoverTableFlags): Promise<void> {
  return chooseCourse(names, flags, {
    ofCopies: COPY_FLAGS,
    ofTables: ['vector', 'form', 'function', 'role', 'candidates'],
    copy: (pair) => withMigration(pair, flags, (work) => cutover(work, flags)),
    inPlace: async (table) => (await import('./in-place/run-change.js')).runCutoverTable(table, flags),
  });
}

/** Flags of a cut-over that a table has no use for. */
const COPY_FLAGS = [
  'alias',
  'bareName',
  'by',
  'encoder',
  'freezeMax',
  'allowLag',
  'clientsProject',
  'force',
  'catchUp',
  'lagMax',
  'on',
];

/** Sends clients to the target, or says what a cut-over would do. */
export async function cutover(work: MigrationWork, flags: CutoverFlags): Promise<void> {
  const { run, config, store } = work;
  const { alias, force } = flags;
  const form = formOf(flags);
  const hook = hooksOf(flags, config, run.signal);
  const state = await readMigrationState(work);
  const catchUp = await catchUpOf(work, flags, state);
  const { signal, log, onProgress } = run;
  const plain: CutOverRequest = { ...work, form, alias, force, hook, signal, log, onProgress };
  const clients = await clientsOf(work, flags, state);
  const { clientsProject } = clients;
  const request = { ...plain, catchUp, clientsProject, waitMs: flags.waitMax * 1000 };
  const planned = await planCutOver(request, state);
  const facts = targetDescription(await store.describe(state.targetCollection));
  for (const line of form === 'proxy' ? proxyOutcomes(planned, flags) : outcomes(planned, facts, clients))
    run.say(line);
  if (catchUp !== undefined && !planned.made) for (const line of catchUpLines(catchUp)) run.say(line);
  if (flags.execute !== true) {
    run.say('dry run: nothing was changed; --execute does it');
    run.next(
      clientsProject || planned.made
        ? [sameCommandWith('--execute')]
        : [nextCommand(flags, clientsLine(madeBy(state), config.url)), sameCommandWith('--execute')],
    );
    run.result({ dryRun: true, ...planned, ...clientFacts(clients) });
    return;
  }
  const { name, to, made, caughtUp, frozenMs } = await cutOver(request);
  if (form === 'proxy') run.say(`clients of the proxy read ${to}${made ? ' already' : ' now'}`);
  else run.say(`"${name}" ${made ? 'led' : 'leads'} to ${to}${made ? ' already' : ' now'}`);
  if (caughtUp !== null && frozenMs !== null)
    run.say(
      `${passesText(caughtUp.passes)}; ${caughtUp.lag} points differed in the last one; ${(frozenMs / 1000).toFixed(2)} s from the before-cutover hook to the switch`,
    );
  run.next(await nextSteps(work, flags));
  run.result({ dryRun: false, ...planned, caughtUp, frozenMs });
}

/** What is known about clients that send full vectors. */
interface Clients {
  /** What they meet at a compact target; null for any other target, and for a switch in the proxy. */
  readonly compact: CompactTarget | null;
  readonly proxy: RunningProxy | null;
  /** Whether nothing breaks: the user says that clients project, a proxy does so, or full vectors are answered. */
  readonly clientsProject: boolean;
}

async function clientsOf(
  { config, store }: MigrationWork,
  { by, clientsProject = false }: CutoverFlags,
  { targetCollection: target, encoderFingerprint: fingerprint }: MigrationState,
): Promise<Clients> {
  const compact = by === undefined && (await store.exists(target)) ? await tryFullQuery(store, target) : null;
  if (compact === null) return { compact, proxy: null, clientsProject: true };
  const proxy = await findRunningProxy(config, { target, fingerprint });
  return { compact, proxy, clientsProject: clientsProject || proxy !== null };
}

function madeBy({
  sourceCollection: source,
  targetCollection: target,
  encoderFile,
}: MigrationState): MadeCollection {
  return { source, target, encoderFile };
}

function clientFacts({ compact, proxy }: Clients): Readonly<Record<string, unknown>> {
  return { fullQueryRefusal: compact?.refusal ?? null, proxyFound: proxy?.operations ?? null };
}

function formOf({ alias, bareName = false, by }: CutoverFlags): CutOverRequest['form'] {
  if ([alias !== undefined, bareName, by !== undefined].filter(Boolean).length !== 1)
    throw new TldrError('INVALID_ARGUMENT', 'give one of --alias <name>, --bare-name and --by proxy');
  if (by !== undefined) return by;
  return bareName ? 'bare-name' : 'alias';
}

async function catchUpOf(
  { config }: MigrationWork,
  flags: CutoverFlags,
  state: MigrationState,
): Promise<CatchUpRequest | undefined> {
  const { allowLag, freezeMax = FREEZE_SECONDS } = flags;
  checkCatchUpFlags(flags);
  if (flags.catchUp !== true) {
    if (flags.freezeMax !== undefined)
      throw new TldrError('INVALID_ARGUMENT', '--freeze-max needs --catch-up');
    if (allowLag !== undefined) throw new TldrError('INVALID_ARGUMENT', '--allow-lag needs --catch-up');
    return undefined;
  }
  const { encoder } = await encoderOf(flags.encoder, state);
  return {
    encoder,
    lagMax: allowLag ?? lagMaxOf(flags),
    withoutFreeze: allowLag !== undefined,
    freezeMsMax: freezeMax * 1000,
    batchSize: config.batchSize,
  };
}

function catchUpLines({ lagMax, withoutFreeze, freezeMsMax }: CatchUpRequest): string[] {
  const before = `before that: source and target are compared and repaired until no more than ${lagMax} points differ`;
  if (withoutFreeze === true)
    return [
      before,
      `  then the switch, while clients write: points that differ then, and later writes to the source, are not in the target`,
    ];
  return [
    before,
    `  then the before-cutover hook, which must stop the writers, and the last differences within ${freezeMsMax / 1000} s, otherwise nothing is switched`,
  ];
}

function outcomes(
  { form, name, from, to, made }: Switch,
  facts: TargetDescription | null,
  clients: Clients,
): string[] {
  if (made) return [`"${name}" leads to ${to} already`];
  const before = from === null ? 'nothing: the alias does not exist yet and will be created' : from;
  const lines = [
    `"${name}" leads to ${before}`,
    `if it succeeds: every request to "${name}" reaches ${to} from one moment on`,
  ];
  if (form === 'bare-name')
    lines.push(`  ${before} stays, hidden behind its name; nobody may delete "${name}"`);
  if (clients.compact !== null) lines.push(...compactOutcomes(clients.compact, { name, to, clients }));
  if (facts?.layout === 'two-stage')
    lines.push(
      `  queries of ${facts.inputDim} dimensions still work, but compare every vector unless clients prefetch on "${facts.compact}" or use the proxy`,
    );
  lines.push(
    `if it fails: "${name}" leads where it leads now, clients notice nothing, and you can run this again`,
    'to go back: `migrate rollback`; the source then lacks what clients wrote to the target',
  );
  return lines;
}

/** What happens to clients of a compact target. */
function compactOutcomes(
  compact: CompactTarget,
  { name, to, clients }: { readonly name: string; readonly to: string; readonly clients: Clients },
): string[] {
  const { proxy, clientsProject } = clients;
  const why =
    proxy !== null
      ? `clients of the proxy (operations on ${proxy.operations}) notice nothing, it serves ${to} as ${proxy.names.join(', ')}`
      : clientsProject
        ? 'you say that clients project their queries and points (--clients-project)'
        : 'the switch is refused: start the proxy first (`serve`), or give --clients-project if clients project their queries and points';
  return [`  ${clientsMeet(compact, { name, to })}`, `  ${why}`];
}

function proxyOutcomes({ to, made, ...way }: Switch, { waitMax }: CutoverFlags): string[] {
  if (made) return [`clients of the proxy read ${to} already`];
  const from = expectDefined(way.from, 'the collection that clients read');
  return [
    `clients of the proxy read ${from}`,
    `if it succeeds: from one moment on the proxy answers every read from ${to}, which then holds every acknowledged write`,
    `  no request fails, writes wait for 3 s at most; ${from} still gets every write as well`,
    `if it fails, or the proxy does not switch within ${waitMax} s: clients still read ${from}, and you can run this again`,
    'to go back: `migrate rollback`; it loses nothing that clients wrote through the proxy',
  ];
}

/** Runs `migrate rollback`. */
export function runRollback(names: GivenNames, flags: RollbackFlags): Promise<void> {
  return chooseCourse(names, flags, {
    ofCopies: ['force'],
    ofTables: ['vector'],
    copy: (pair) => withMigration(pair, flags, (work) => rollback(work, flags)),
    inPlace: async (table) => (await import('./in-place/run-change.js')).runRollbackTable(table, flags),
  });
}

async function rollback(work: MigrationWork, flags: RollbackFlags): Promise<void> {
  const { run, store } = work;
  const state = await readMigrationState(work);
  const { force } = flags;
  const way = await planRollBack({ ...work, force }, state);
  for (const line of way.form === 'proxy' ? proxyWaysBack(way) : waysBack(way)) run.say(line);
  const { verifiedPoints, targetCollection } = state;
  if (way.form !== 'proxy') {
    const now = await store.count(targetCollection);
    if (verifiedPoints !== null && now !== verifiedPoints)
      run.say(`  ${targetCollection} had ${verifiedPoints} points when it was verified and has ${now} now`);
  }
  if (flags.execute !== true) {
    run.say('dry run: nothing was changed; --execute does it');
    run.next([sameCommandWith('--execute')]);
    run.result({ dryRun: true, ...way });
    return;
  }
  const { signal, log, onProgress } = run;
  const { proxyLives } = await rollBack({ ...work, force, signal, log, onProgress });
  if (way.to === null) run.say(`the alias "${way.name}" is removed`);
  else if (proxyLives === null) run.say(`"${way.name}" leads to ${way.to}`);
  else if (proxyLives) run.say(`clients of the proxy read ${way.to} now`);
  else run.say(`no proxy is running: clients read ${way.to} as soon as one is started again`);
  run.next(await nextSteps(work, flags));
  run.result({ dryRun: false, ...way, proxyLives });
}

function waysBack({ name, to, made, ...way }: WayBack): string[] {
  if (made) return [`"${name}" already leads where it led before; only the migration state is corrected`];
  const from = expectDefined(way.from, 'the collection that clients read');
  return [
    `"${name}" leads to ${from}`,
    to === null
      ? `if it succeeds: "${name}" is removed, as before the cut-over; clients that use it get errors`
      : `if it succeeds: every request to "${name}" reaches ${to} from one moment on; it lacks what clients wrote to ${from} since the cut-over`,
    `if it fails: "${name}" leads where it leads now, and you can run this again`,
  ];
}

function proxyWaysBack({ made, proxyLives, journalledUntil, ...way }: WayBack): string[] {
  const from = expectDefined(way.from, 'the collection that clients read');
  const to = expectDefined(way.to, 'the collection that clients will read');
  const when = proxyLives === true ? 'at once' : 'when it is started again (none is running now)';
  if (made) return [`clients of the proxy read ${to} already; only the migration state is corrected`];
  return [
    `clients of the proxy read ${from}`,
    `if it succeeds: the proxy answers every read from ${to}, ${when}; every write made through it since the cut-over is there`,
    ...(proxyLives === true
      ? []
      : [`  writes made to ${from} without the proxy since ${journalledUntil ?? 'then'} are not there`]),
    `if it fails: clients still read ${from}, and you can run this again`,
  ];
}
