import { rm } from 'node:fs/promises';
import { isTldrError, TldrError } from '../../core/errors.js';
import { isTaken } from '../../core/write-file.js';
import { Encoder } from '../../encoder/model.js';
import { migrationStatus, type MigrationStatus } from '../../migrate/run/migration-status.js';
import type { CopyTarget } from '../../store/copy-target.js';
import { targetDescription } from '../../store/target-description.js';
import { readFlags, type ShellCommand } from '../console/shell-command.js';
import { placeOf } from '../migrate/migration-work.js';
import { start, type StartFlags } from '../migrate/run-start-and-resume.js';
import { startCommand } from '../migrate/start-and-resume.js';
import { migrationLine, trainingLine } from '../plan/deploy-commands.js';
import { trainCommand } from '../train/command.js';
import { namingFlags } from '../train/flags-in-errors.js';
import { candidateLabel } from '../train/candidate-names.js';
import { candidateTable } from '../train/output.js';
import { train, type TrainFlags } from '../train/run-train.js';
import { plainTable } from './measure.js';
import type { ShrinkState } from './state.js';
import { deploymentOf, measuredRamOf, sayStep, stepConsole, type ShrinkWork } from './work.js';

type Training = NonNullable<ShrinkState['training']>;

/** Returns the command that trains the encoder. */
export function trainLine(work: ShrinkWork): ShellCommand {
  const { flags, files, progress } = work;
  const trains = progress.state.sizing?.trainsWithQueries === true && flags.queries !== undefined;
  return trainingLine(deploymentOf(work), [
    ...(trains ? [['--queries', flags.queries] as const] : []),
    ['--budget', `${flags.budget}s`],
    ...(flags.deterministic === true ? [['--deterministic', null] as const] : []),
    ['--seed', flags.seed],
    ...(comparesByCosine(work) ? [['--compact-distance', 'cosine'] as const] : []),
    ['--checkpoint', files.checkpoint],
  ]);
}

/** Whether the training was begun, or is to begin, for an operator, which compares by cosine. */
function comparesByCosine({ flags, progress: { state } }: ShrinkWork): boolean {
  return state.trainingBegun ? state.comparesByCosine === true : flags.form === 'operator';
}

/** Trains the encoder, unless an earlier run did so. */
export async function trainChosen(work: ShrinkWork): Promise<Training> {
  const { collection, files, run, config, progress } = work;
  const line = trainLine(work);
  const { row } = deploymentOf(work);
  sayStep(work, 'train', { title: `an encoder to ${row.dim} dimensions`, line });
  const known = progress.state.training ?? (await savedBefore(work));
  if (known !== null) {
    await checkEncoderFile(files.encoder, known);
    run.say(
      `  trained by an earlier run: ${candidateLabel(known.saved, work.flags.verbose)}, fingerprint ${known.fingerprint.slice(0, 16)}`,
    );
    return known;
  }
  await progress.save({
    trainingBegun: true,
    ...(comparesByCosine(work) ? { comparesByCosine: true } : {}),
  });
  const flags = await readFlags<TrainFlags>(line, (give) =>
    trainCommand().action((_: string, read: TrainFlags) => give(read)),
  );
  const quietly = stepConsole(work, 'train', { quiet: true });
  const report = await train(collection, flags, { run: quietly, config }).catch((error: unknown) => {
    throw namingFlags(error);
  });
  if (report === null) throw new TldrError('INTERNAL', 'the training ended without a report');
  const { fingerprint } = await Encoder.load(files.encoder);
  const saved = report.candidates.find(({ name }) => name === report.shipped);
  run.say(
    `  saved ${candidateLabel(report.shipped, flags.verbose)} as ${files.encoder}, fingerprint ${fingerprint.slice(0, 16)}${saved === undefined ? '' : `; without rescoring it finds ${(saved.recallAt10 * 100).toFixed(1)} % (recall@10)`}`,
  );
  const training = { fingerprint, saved: report.shipped, table: plainTable(candidateTable(report)) };
  await progress.save({ training });
  await rm(files.checkpoint, { force: true });
  return training;
}

/** Returns the encoder that a run saved before it was killed; null if there is none. */
async function savedBefore({ files, progress }: ShrinkWork): Promise<Training | null> {
  if (!progress.state.trainingBegun || !(await isTaken(files.encoder))) return null;
  const { fingerprint, metadata } = await Encoder.load(files.encoder);
  const training = { fingerprint, saved: metadata.method, table: null };
  await progress.save({ training });
  await rm(files.checkpoint, { force: true });
  return training;
}

/** @throws NOT_FOUND when the file is gone, MISMATCH when it holds another encoder */
async function checkEncoderFile(path: string, { fingerprint }: Training): Promise<void> {
  const found = await Encoder.load(path);
  if (found.fingerprint === fingerprint) return;
  throw new TldrError(
    'MISMATCH',
    `${path} has fingerprint ${found.fingerprint}, expected ${fingerprint}, which this run trained: put that file back, or give another --out to begin a new run`,
  );
}

/**
 * Checks that the target's name is free, or that its collection belongs to this run.
 * @throws ALREADY_EXISTS
 */
export async function checkTargetName(
  { collection, progress }: ShrinkWork,
  { store, target }: { readonly store: CopyTarget; readonly target: string },
): Promise<void> {
  const aliases = await store.names?.all();
  const taken = `${target} exists already and was not made by this run: choose another name with --target`;
  if (aliases?.has(target) === true) throw new TldrError('ALREADY_EXISTS', taken);
  if (!(await store.exists(target))) return;
  const made = targetDescription(await store.describe(target));
  const { training } = progress.state;
  if (made?.source !== collection || training === null || made.encoder !== training.fingerprint)
    throw new TldrError('ALREADY_EXISTS', taken);
}

/** Copies and verifies every point, unless an earlier run did so. Only the migration's own state says how far it is. */
export async function migrateChosen(work: ShrinkWork, store: CopyTarget): Promise<MigrationStatus> {
  const { collection, run, config } = work;
  const deployment = deploymentOf(work);
  const line = migrationLine(deployment);
  const { target } = deployment;
  sayStep(work, 'migrate', { title: `copy every point into ${target} and verify it`, line });
  const flags = await readFlags<StartFlags>(line, (give) =>
    startCommand().action((_source: string, _target: string, read: StartFlags) => give(read)),
  );
  const place = await placeOf({ source: collection, target }, flags, { config, run, store });
  const status = (): Promise<MigrationStatus> => migrationStatus({ source: store, target: store, place });
  const before = await status().catch((error: unknown) => {
    if (isTldrError(error, 'NOT_FOUND')) return null;
    throw error;
  });
  if (before !== null && isDone(before)) {
    run.say(
      `  copied and verified by an earlier run: ${before.targetPoints?.toLocaleString('en-US') ?? 'no'} points`,
    );
    return before;
  }
  await start(
    { source: collection, target, flags },
    { run: stepConsole(work, 'migrate'), config, measuredRam: measuredRamOf(work.progress.state) },
  );
  return status();
}

/** Whether clients use the target, or every point was verified and nothing was added since. */
function isDone({
  phase,
  targetPoints,
  sourcePoints,
  verifiedPoints,
  cutOver,
  completed,
}: MigrationStatus): boolean {
  if (completed || cutOver !== null) return true;
  return phase === 'verified' && targetPoints === verifiedPoints && sourcePoints === verifiedPoints;
}
