import { evaluationLine, nextCommand, servingLine } from '../console/next-commands.js';
import { Encoder } from '../../encoder/model.js';
import { expectDefined } from '../../core/errors.js';
import type { CopyTarget } from '../../store/copy-target.js';
import { switchableNames } from '../../store/facets.js';
import type { InPlaceCutOver } from '../../store/in-place-target.js';
import { targetDescription } from '../../store/target-description.js';
import type { ClientWay } from '../../store/adapter.js';
import { adapterFor, hasProxy } from '../adapters.js';
import { formatBytes } from '../../report/format.js';
import { percentText, ramText } from '../console/command-output.js';
import { readFlags, type ShellCommand } from '../console/shell-command.js';
import { evaluateCommand } from '../evaluate/command.js';
import { checkRequest, type EvaluateFlags } from '../evaluate/request.js';
import { measureEvaluation, type Evaluation } from '../evaluate/run-evaluate.js';
import { cutoverCommand } from '../migrate/cutover-and-rollback.js';
import { placeOf } from '../migrate/migration-work.js';
import { cutover, type CutoverFlags } from '../migrate/run-cutover-and-rollback.js';
import type { MigrationStatus } from '../../migrate/run/migration-status.js';
import { collectionMadeBy } from '../plan/deploy-commands.js';
import { askWhether, canAsk } from './questions.js';
import { given } from '../train/given.js';
import {
  deploymentOf,
  measuredRamOf,
  progressConsole,
  sayStep,
  stepConsole,
  type ShrinkWork,
} from './work.js';

/** Returns the command that compares both collections. */
export function evaluateLine(work: ShrinkWork): ShellCommand {
  const { queries, seed } = work.flags;
  return evaluationLine(collectionMadeBy(deploymentOf(work)), [
    ...(queries === undefined ? [] : [['--queries', queries] as const]),
    ['--seed', seed],
  ]);
}

/** Compares the target with the collection, through the database. */
export async function evaluateTarget(work: ShrinkWork): Promise<Evaluation> {
  const { collection, files, run, config } = work;
  const line = evaluateLine(work);
  const { target } = deploymentOf(work);
  const what = target === collection ? `its compact vectors` : target;
  sayStep(work, 'evaluate', { title: `compare ${what} with exact search in ${collection}`, line });
  const flags = await readFlags<EvaluateFlags>(line, (give) =>
    evaluateCommand().action((_full: string, _compact: string, read: EvaluateFlags) => give(read)),
  );
  const request = await checkRequest([collection, target], flags);
  const encoder = await Encoder.load(files.encoder);
  // The page of the whole run shows what the page of an evaluation does.
  const { report, colorBy, textField, vector } = work.flags;
  const page = report === undefined ? {} : { report, ...given({ colorBy, textField }) };
  const shown = { ...flags, ...page, ...(target === collection ? given({ vector }) : {}) };
  const evaluation = await measureEvaluation(request, {
    encoder,
    flags: shown,
    run: progressConsole(work, 'evaluate'),
    config,
    measuredRam: measuredRamOf(work.progress.state),
  });
  run.say(`  ${findsText(evaluation)}`);
  const { memory, form, measuredRam: ram } = evaluation;
  if (ram !== null)
    run.say(
      `  RAM of vectors and index (measured): ${formatBytes(ram.after)}, before ${formatBytes(ram.before)}`,
    );
  else if (memory !== null)
    run.say(
      `  RAM of vectors and index (estimate): ${ramText(memory.target)}, before ${ramText(memory.source)}`,
    );
  run.say(`  the first result agrees in ${percentText(form.topOne)} of the queries`);
  return evaluation;
}

/** Returns how many of the true first ten results a form of search finds. */
export function foundBy({ recall }: Evaluation['form']): Evaluation['form']['recall'][number] {
  return expectDefined(
    recall.find(({ k }) => k === 10),
    'recall@10',
  );
}

/** Returns what clients will find, in a sentence. */
function findsText({ form }: Evaluation): string {
  const recall = foundBy(form);
  return `searches find ${percentText(recall.mean)} of the same first ten results (95 %: ${recall.interval.map((share) => percentText(share)).join(' to ')})`;
}

/** What the user is told about clients, and whether an alias was switched. */
export interface ConnectOutcome {
  readonly ways: readonly ClientWay[];
  /** The alias that leads to the target now because of this run; null if none was switched. */
  readonly switched: string | null;
  /** What clients of a table use instead of the full vectors, and the command that did it; null if nothing was changed. */
  readonly cutOver: { readonly made: InPlaceCutOver; readonly line: ShellCommand } | null;
}

/** A collection that was copied, and how its migration stands. */
interface Copied {
  readonly store: CopyTarget;
  readonly status: MigrationStatus;
}

/** Says how clients connect, the proxy first. Switches an alias only if the user wants it. */
export async function connectClients(work: ShrinkWork, copied: Copied): Promise<ConnectOutcome> {
  const { collection, run, flags } = work;
  const { target } = deploymentOf(work);
  const ways = await waysOf(work);
  sayWays(work, ways);
  const alias = flags.switch ?? (await aliasToSwitch(work, copied));
  if (alias !== null) {
    await switchAlias(work, { alias, store: copied.store });
    return { ways, switched: alias, cutOver: null };
  }
  run.say('');
  run.say(`  no client was switched: ${collection} is as it was, and ${target} stands beside it`);
  run.say(
    `  points that are written to ${collection} from now on are not in ${target}: let clients write through the proxy, or stop the writers`,
  );
  return { ways, switched: null, cutOver: null };
}

/** Prints the ways for clients to use what was made. */
export function sayWays(work: ShrinkWork, ways: readonly ClientWay[]): void {
  const { collection, run } = work;
  sayStep(work, 'connect', { title: `clients of ${collection}, one of these ways` });
  for (const [i, { title, lines }] of ways.entries()) {
    run.say(`  ${i + 1}. ${title}`);
    for (const line of lines) run.sayCode(`     ${line}`);
  }
}

async function waysOf(work: ShrinkWork): Promise<ClientWay[]> {
  const { collection, config, store, flags } = work;
  const deployment = deploymentOf(work);
  const adapter = adapterFor(config.url);
  const { listenRest: rest, listenGrpc: grpc } = config;
  const proxy = {
    title: `the proxy: clients stay as they are, and use http://${rest.host}:${rest.port} (gRPC: ${grpc.host}:${grpc.port}) instead of ${store.endpoint}`,
    lines: [nextCommand(flags, servingLine(collectionMadeBy(deployment)))],
  };
  const facts = targetDescription(await store.describe(deployment.target));
  const { target, encoderFile, row } = deployment;
  const own =
    facts === null
      ? []
      : (adapter.clientWays?.({
          ...facts,
          url: config.url,
          collection,
          target,
          encoderFile,
          oversampling: row.oversampling,
        }) ?? []);
  return hasProxy(config.url) ? [proxy, ...own] : [...own];
}

/** Returns the alias that the user wants to switch; null if there is none, or nobody to ask. */
async function aliasToSwitch(
  work: ShrinkWork,
  { store, status: { cutOver } }: Copied,
): Promise<string | null> {
  const { collection, flags, run } = work;
  const { target, row } = deploymentOf(work);
  if (cutOver !== null || flags.yes === true || row.layout === 'compact' || !canAsk()) return null;
  const all = (await store.names?.all()) ?? new Map<string, string>();
  const [alias] = [...all].filter(([, to]) => to === collection).map(([name]) => name);
  if (alias === undefined) return null;
  run.say('');
  const yes = await askWhether(
    `Let the alias "${alias}" lead to ${target} now? Full-size queries by it still work, but they are slow until clients use the proxy or the wrapper`,
    run.signal,
  );
  return yes ? alias : null;
}

/** Returns the command that switches an alias. */
export function switchLine(work: ShrinkWork, alias: string): ShellCommand {
  const { collection, target } = deploymentOf(work);
  return {
    command: ['migrate', 'cutover'],
    names: [collection, target],
    flags: [
      ['--alias', alias],
      ['--execute', null],
    ],
  };
}

async function switchAlias(
  work: ShrinkWork,
  { alias, store }: { readonly alias: string; readonly store: CopyTarget },
): Promise<void> {
  const { collection, run, config, flags } = work;
  const { target } = deploymentOf(work);
  switchableNames(store);
  const line = switchLine(work, alias);
  run.say('');
  run.say(`  $ ${nextCommand(flags, line)}`);
  const cutoverFlags = await readFlags<CutoverFlags>(line, (give) =>
    cutoverCommand().action((_source: string, _target: string, read: CutoverFlags) => give(read)),
  );
  const pair = { source: collection, target };
  const place = await placeOf(pair, cutoverFlags, { config, run, store });
  await cutover(
    { run: stepConsole(work, 'connect'), config, store, source: store, target: store, place },
    cutoverFlags,
  );
}

/** Returns the command that says how the migration stands and what is possible next, or another one of the migration. */
export function statusLine(work: ShrinkWork, verb: 'status' | 'rollback' = 'status'): ShellCommand {
  const { collection, target } = deploymentOf(work);
  const names = target === collection ? [collection] : [collection, target];
  return { command: ['migrate', verb], names, flags: [] };
}
