import type { InPlaceState, InPlaceTarget } from '../../store/in-place-target.js';
import { TldrError } from '../../core/errors.js';
import { readFlags } from '../console/shell-command.js';
import { resumeTable, startTable } from '../migrate/in-place/run-start.js';
import { stateOf, type TableCommand } from '../migrate/in-place/work.js';
import type { StartFlags } from '../migrate/run-start-and-resume.js';
import { startCommand } from '../migrate/start-and-resume.js';
import { migrationLine } from '../plan/deploy-commands.js';
import { checkOtherCutOver } from './connect-beside.js';
import { deploymentOf, sayStep, stepConsole, type ShrinkWork } from './work.js';

const IN_USE: readonly InPlaceState['phase'][] = ['ready', 'cut-over', 'complete'];

/**
 * Checks that the table has no migration, or that of this run, which no cut-over but the wanted one followed.
 * @throws ALREADY_EXISTS
 */
export async function checkNoOtherMigration(
  { collection, flags, progress }: ShrinkWork,
  store: InPlaceTarget,
): Promise<void> {
  const known = await store.inPlace.find({ collection, vectorName: flags.vector });
  if (known === null) return;
  if (known.encoderFingerprint === progress.state.training?.fingerprint) {
    checkOtherCutOver({ flags }, known);
    return;
  }
  throw new TldrError(
    'ALREADY_EXISTS',
    `${known.collection} has compact vectors already (${known.phase}), which this run did not make: \`migrate status\` shows them, and \`migrate abort\` removes them`,
  );
}

/** Writes compact vectors beside the table and verifies them, unless an earlier run did so. */
export async function migrateBeside(work: ShrinkWork, store: InPlaceTarget): Promise<InPlaceState> {
  const { collection, run, config, flags: asked } = work;
  const line = migrationLine(deploymentOf(work));
  const title = `write compact vectors beside ${collection} and verify them`;
  sayStep(work, 'migrate', { title, line });
  const flags = await readFlags<StartFlags>(line, (give) =>
    startCommand().action((_source: string, _target: string, read: StartFlags) => give(read)),
  );
  const name = { collection, vectorName: asked.vector };
  const command: TableCommand = { run: stepConsole(work, 'migrate'), config, store, name };
  const known = await store.inPlace.find(name);
  const isMade = known !== null && IN_USE.includes(known.phase);
  if (isMade && known.warnings.length === 0) {
    const rows = known.verified?.points.toLocaleString('en-US') ?? 'all';
    run.say(`  written and verified by an earlier run: ${rows} rows`);
    return known;
  }
  if (isMade) await resumeTable(command, flags, undefined);
  else await startTable(command, flags, undefined);
  return stateOf(command);
}
