import { clientsLine, nextCommand, sameCommandWithout } from '../console/next-commands.js';
import { TldrError } from '../../core/errors.js';
import { areDifferent, checkOutput } from '../console/check-output.js';
import { checkWritable, isTaken } from '../../core/write-file.js';
import { lockFile } from '../../migrate/state/lock.js';
import { refuseAliasAsSource } from '../../migrate/plan/migration.js';
import { removeLeftovers } from '../../migrate/state/replace-file.js';
import { PROPOSAL_NAMES, type ProposalName } from '../../plan/proposals.js';
import { formatBytes } from '../../report/format.js';
import { withScratchOf } from '../../store/beside/scratch-store.js';
import { pickVector } from '../../store/pick-vector.js';
import { diskText, ramText } from '../console/command-output.js';
import { withConsole, withSource } from '../console/command-body.js';
import { sayTables, writePage } from '../console/show-results.js';
import { checkPageFlags } from '../evaluate/request.js';
import type { Evaluation } from '../evaluate/run-evaluate.js';
import { collectionMadeBy, migrationLine, targetNameOf } from '../plan/deploy-commands.js';
import { estimatedMemory } from '../console/compact-memory.js';
import { checkNoOtherMigration, migrateBeside } from './beside-table.js';
import { checkOperator, connectBeside, cutOverAsked } from './connect-beside.js';
import { checkCourseFlags, courseFor } from './course.js';
import {
  connectClients,
  evaluateLine,
  evaluateTarget,
  statusLine,
  switchLine,
  type ConnectOutcome,
} from './evaluate-and-connect.js';
import { measure, prepareSizing, promiseOf, proposalTable, sizingLine, timeText } from './measure.js';
import { shrinkPage } from './page.js';
import { askWhich, canAsk } from './questions.js';
import {
  checkSameRequest,
  newShrinkState,
  readShrinkState,
  type ShrinkSizing,
  type ShrinkState,
} from './state.js';
import { checkTargetName, migrateChosen, trainLine, trainChosen } from './train-and-migrate.js';
import {
  chosenOf,
  deploymentOf,
  filesOf,
  requestOf,
  sayStep,
  scratchWords,
  ShrinkProgress,
  type ShrinkFiles,
  type ShrinkFlags,
  type ShrinkWork,
} from './work.js';

/** Runs `shrink`. */
export function runShrink(collection: string, flags: ShrinkFlags): Promise<void> {
  return withConsole(flags, async (run, config) => {
    const files = filesOf(collection, flags);
    checkCourseFlags(flags, config.url);
    await checkFlags(flags, files, await readShrinkState(files.state));
    await withSource(config, run, async (store) => {
      const course = courseFor(store, config.url);
      await withScratchOf(store, (scratch) =>
        runCourse({ collection, flags, files, run, config, store, scratch, course }),
      );
    });
  });
}

async function runCourse(given: Omit<ShrinkWork, 'progress'>): Promise<void> {
  const { collection, flags, files, store, course } = given;
  if (course.kind === 'copy') await refuseAliasAsSource(course.store, collection);
  const request = requestOf(collection, flags, store);
  const withState = (known: ShrinkState | null): ShrinkWork => {
    if (known !== null) checkSameRequest(files.state, known.request, request);
    return { ...given, progress: new ShrinkProgress(files.state, known ?? newShrinkState(request)) };
  };
  if (flags.dryRun === true) {
    await describe(withState(await readShrinkState(files.state)));
    return;
  }
  const unlock = await lockFile(files.state);
  try {
    const work = withState(await readShrinkState(files.state));
    await prepareFiles(work);
    if (course.kind === 'in-place') await checkNoOtherMigration(work, course.store);
    else if (flags.target !== undefined)
      await checkTargetName(work, { store: course.store, target: flags.target });
    await shrink(work);
  } finally {
    await unlock();
  }
}

/**
 * Checks what needs no server.
 * @throws INVALID_ARGUMENT when the run would have to ask and cannot, and for contradicting flags
 */
async function checkFlags(
  flags: ShrinkFlags,
  { encoder, state: stateFile, checkpoint }: ShrinkFiles,
  state: ShrinkState | null,
): Promise<void> {
  const { choose, yes, dryRun, report, layout } = flags;
  if (flags.switch !== undefined && layout === 'compact')
    throw new TldrError(
      'INVALID_ARGUMENT',
      '--switch needs the two-stage layout: full-size queries fail in a compact collection. Connect the clients first, then use `migrate cutover`',
    );
  checkPageFlags(flags);
  const files = [encoder, stateFile, checkpoint];
  if (report !== undefined && !(await areDifferent([...files, report])))
    throw new TldrError(
      'INVALID_ARGUMENT',
      `--report names ${report}, which this run writes otherwise (${files.join(', ')}): give another file`,
    );
  if (dryRun === true || canAsk()) return;
  const missing = [
    ...(choose === undefined && state?.choice == null ? [`--choose ${PROPOSAL_NAMES.join('|')}`] : []),
    ...(yes === true ? [] : ['--yes']),
  ];
  if (missing.length > 0)
    throw new TldrError(
      'INVALID_ARGUMENT',
      `there is no terminal to ask at: add ${missing.join(' and ')}, or use --dry-run to look first`,
    );
}

/**
 * Checks the files that the run will write, and removes what killed runs left of them. The caller holds the lock.
 * @throws ALREADY_EXISTS when one is not this run's
 */
async function prepareFiles({ files, flags, progress }: ShrinkWork): Promise<void> {
  const { report, trainingBegun } = progress.state;
  await checkWritable(files.state);
  for (const path of [files.encoder, files.checkpoint]) {
    if (!trainingBegun && (await isTaken(path)))
      throw new TldrError(
        'ALREADY_EXISTS',
        `${path} exists and was not made by this run: move it away, or choose another file with --out`,
      );
  }
  const own = report !== null && report === flags.report;
  if (flags.report !== undefined)
    await checkOutput(flags.report, { force: own || flags.force === true, dryRun: false });
  for (const path of [files.encoder, files.state, files.checkpoint]) await removeLeftovers(path);
  if (own) await removeLeftovers(report);
}

async function shrink(work: ShrinkWork): Promise<void> {
  const { collection, flags, files, run, config, progress } = work;
  await inspectStep(work);
  const sizing = await measure(work);
  sayTables(run, [proposalTable(sizing, progress.state.choice)]);
  for (const proposed of sizing.proposals) run.say(`  ${proposed.name}: ${promiseOf(proposed)}`);
  if (sizing.alternative !== null) run.say(`  ${sizing.alternative}`);
  await chooseStep(work, sizing);
  await confirmWork(work, sizing);
  const training = await trainChosen(work);
  await checkOperator(work);
  const { migration, evaluation, connection } = await migrateAndConnect(work);
  const commands = await commandsOf(work, connection);
  const { state } = progress;
  if (flags.report !== undefined) {
    await progress.save({ report: flags.report });
    await writePage(
      run,
      flags.report,
      shrinkPage({ collection, sizing, state, evaluation, connection, commands }),
    );
  }
  run.say('');
  run.say(`done; how far this run is stays in ${files.state}, and the same command shows the results again`);
  const deployment = deploymentOf(work);
  const { target, row } = deployment;
  const { cutOver } = connection;
  const lines =
    cutOver === null
      ? [clientsLine(collectionMadeBy(deployment), config.url), statusLine(work)]
      : [statusLine(work), statusLine(work, 'rollback')];
  run.next(lines.map((line) => nextCommand(flags, line)));
  run.result({
    collection,
    target: target === collection ? null : target,
    choice: state.choice,
    row,
    today: sizing.today,
    proposals: sizing.proposals,
    encoder: { file: files.encoder, fingerprint: training.fingerprint, candidate: training.saved },
    migration,
    evaluation: evaluation.result,
    clients: connection.ways,
    switched: connection.switched,
    cutOver: cutOver?.made ?? null,
    commands,
    state: files.state,
    report: flags.report ?? null,
  });
}

/** What the last steps did. */
interface Migrated {
  readonly migration: { readonly phase: string; readonly verified: number | null };
  readonly evaluation: Evaluation;
  readonly connection: ConnectOutcome;
}

/** Migrates the chosen proposal, evaluates the result, and says how clients use it. */
async function migrateAndConnect(work: ShrinkWork): Promise<Migrated> {
  const { course } = work;
  if (course.kind === 'in-place') {
    const { store } = course;
    const { phase, verified } = await migrateBeside(work, store);
    const evaluation = await evaluateTarget(work);
    const connection = await connectBeside(work, store, evaluation);
    return { migration: { phase, verified: verified?.points ?? null }, evaluation, connection };
  }
  const { store } = course;
  const status = await migrateChosen(work, store);
  const evaluation = await evaluateTarget(work);
  const connection = await connectClients(work, { store, status });
  const { phase, verifiedPoints: verified } = status;
  return { migration: { phase, verified }, evaluation, connection };
}

async function inspectStep(work: ShrinkWork): Promise<void> {
  const { collection, flags, run, store } = work;
  sayStep(work, 'inspect', {
    title: `${collection} in ${store.endpoint}`,
    line: { command: ['inspect'], names: [collection], flags: [] },
  });
  const spec = await store.describe(collection);
  const points = await store.count(collection);
  const now = estimatedMemory(store, spec, { points });
  const { name, dim, distance } = pickVector(spec, flags.vector);
  if (flags.form === 'operator' && distance !== 'cosine')
    throw new TldrError(
      'UNSUPPORTED',
      `--form operator is only for cosine, and "${name}" is compared by ${distance}: use --form function`,
    );
  run.say(`  ${points.toLocaleString('en-US')} points; vector "${name}": ${dim} dimensions, ${distance}`);
  run.say(
    now === null
      ? '  the next step measures what it costs now'
      : `  costs now (estimate; the next step measures it): ${ramText(now)} of RAM for vectors and index, ${diskText(now)} on disk`,
  );
}

/** Decides the proposal: by the flag, by an earlier run, or by the user. */
async function chooseStep(work: ShrinkWork, sizing: ShrinkSizing): Promise<void> {
  const { collection, flags, run, course, progress } = work;
  sayStep(work, 'choose', { title: 'one of the proposals' });
  const { choice: known, trainingBegun } = progress.state;
  if (trainingBegun && flags.choose !== undefined && flags.choose !== known)
    throw new TldrError(
      'MISMATCH',
      `this run already trains for "${known ?? 'none'}", and --choose names "${flags.choose}": leave --choose out to continue it, or give another --out and --target to begin a new run`,
    );
  const choice = flags.choose ?? known ?? (await askProposal(sizing, run.signal));
  await progress.save({ choice });
  const proposed = chosenOf(progress.state);
  if (course.kind === 'copy') {
    const target = flags.target ?? targetNameOf(collection, proposed.row);
    await checkTargetName(work, { store: course.store, target });
    await progress.save({ target });
  }
  run.say(`  ${choice}: ${proposed.figures.label}, ${promiseOf(proposed)}`);
}

function askProposal({ proposals }: ShrinkSizing, signal: AbortSignal): Promise<ProposalName> {
  const answers = proposals.map((proposed) => {
    const { name, figures, seconds } = proposed;
    const time = seconds === null ? '' : `, ${timeText(seconds)}`;
    return {
      value: name,
      label: name,
      hint: `${formatBytes(figures.ramBytes)} of RAM, ${promiseOf(proposed)}${time}`,
    };
  });
  return askWhich('Which one?', { answers, first: 'balanced', signal });
}

/** Asks once before the long part, unless it was begun already. */
async function confirmWork(work: ShrinkWork, sizing: ShrinkSizing): Promise<void> {
  const { collection, files, run, store, course, progress } = work;
  if (progress.state.trainingBegun) return;
  const { seconds } = chosenOf(progress.state);
  const time = seconds === null ? '' : ` (${timeText(seconds)})`;
  const points = sizing.points.toLocaleString('en-US');
  if (course.kind === 'in-place') {
    run.say('  clients can read and write meanwhile: triggers keep the compact vectors up to date');
    await run.confirm(
      `Train an encoder, write it to ${files.encoder}, and write compact vectors beside ${points} rows of ${collection} in ${store.endpoint}${time}?`,
    );
    return;
  }
  const { target } = deploymentOf(work);
  run.say(
    `  points that are written to ${collection} during the copy are not brought over: stop the writers, or see "migrate start --help" for a proxy that brings them over`,
  );
  await run.confirm(
    `Train an encoder, write it to ${files.encoder}, and copy ${points} points into ${target} in ${store.endpoint}${time}?`,
  );
}

/** Returns every command that does the same without the guide. */
async function commandsOf(
  work: ShrinkWork,
  { switched, cutOver }: Pick<ConnectOutcome, 'switched' | 'cutOver'>,
): Promise<string[]> {
  const { collection, flags, config } = work;
  const deployment = deploymentOf(work);
  const lines = [
    { command: ['inspect'], names: [collection], flags: [] },
    await sizingLine(work),
    trainLine(work),
    migrationLine(deployment),
    evaluateLine(work),
    cutOver?.line ?? clientsLine(collectionMadeBy(deployment), config.url),
    ...(switched === null ? [] : [switchLine(work, switched)]),
  ];
  return lines.map((line) => nextCommand(flags, line));
}

/** Says what a run would do, and writes nothing. */
async function describe(work: ShrinkWork): Promise<void> {
  const { collection, flags, files, run, progress } = work;
  const { state } = progress;
  await inspectStep(work);
  const { sizing } = state;
  if (sizing === null) {
    const { line, setup } = await prepareSizing(work);
    sayStep(work, 'measure', { title: `what less memory costs, on a sample of ${collection}`, line });
    run.say(
      `  would write ${formatBytes(setup.scratchBytes)} of vectors into ${scratchWords(work)} and remove them again; the proposals are known after that`,
    );
  } else {
    sayStep(work, 'measure', { title: 'measured by an earlier run', line: await sizingLine(work) });
    sayTables(run, [proposalTable(sizing, state.choice)]);
  }
  const choice = flags.choose ?? state.choice;
  run.say('');
  const into = state.target ?? flags.target ?? 'a new collection';
  const migrated =
    work.course.kind === 'in-place'
      ? `write compact vectors beside ${collection}`
      : `copy ${collection} into ${into}`;
  const asked = cutOverAsked(flags);
  const changed = asked === null ? '' : `, change what clients use (--form ${asked.form})`;
  const rest = `${migrated}, verify, evaluate${choice === null ? '' : ` (${choice})`}${changed}`;
  run.say(
    state.training === null
      ? `then: train an encoder into ${files.encoder}, ${rest}`
      : `${files.encoder} is trained; then, unless an earlier run did so: ${rest}`,
  );
  run.say('dry run: nothing was written');
  run.next([sameCommandWithout('--dry-run')]);
  run.result({
    dryRun: true,
    collection,
    choice,
    proposals: sizing?.proposals ?? null,
    encoder: files.encoder,
    target: state.target ?? flags.target ?? null,
    state: files.state,
  });
}
