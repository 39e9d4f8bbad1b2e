import { Command, Option } from 'commander';
import { join } from 'node:path';
import type { Config } from '../config/config.js';
import { Encoder } from '../core/encoder.js';
import {
  DATATYPES,
  QUANTIZATIONS,
  type Datatype,
  type Layout,
  type Quantization,
} from '../core/vector-store.js';
import { migrateCollection } from '../migrate/migrate-collection.js';
import { checkRecord } from '../migrate/migration-record.js';
import { planMigration, type MigrationPlan } from '../migrate/plan-migration.js';
import { megabytes, type ConsoleRun } from './console-run.js';
import {
  wholeNumber,
  withConsole,
  withGlobalFlags,
  withStore,
  withWriteFlags,
  type GlobalFlags,
} from './options.js';

interface MigrateFlags extends GlobalFlags {
  readonly encoder: string;
  readonly layout: Layout;
  readonly vector?: string;
  readonly compactName?: string;
  readonly datatype?: Datatype;
  readonly quantization?: Quantization;
  readonly record?: string;
  readonly dryRun?: boolean;
}

/** `migrate`: copy a collection into its compact form. */
export function migrateCommand(): Command {
  const command = new Command('migrate')
    .description('Copy a collection into a compact one, every point, payload and setting, and verify it.')
    .argument('<source>', 'collection to read; it is never written to')
    .argument('<target>', 'collection to create, or to go on with')
    .requiredOption('--encoder <file>', 'encoder file written by train')
    .addOption(
      new Option(
        '--layout <name>',
        'compact: reduced vectors only; two-stage: full vectors stay on disk for rescoring',
      )
        .choices(['compact', 'two-stage'])
        .default('compact'),
    )
    .option('--vector <name>', 'vector to reduce, where the source has several')
    .option('--compact-name <name>', 'name of the reduced vector in the two-stage layout (default: compact)')
    .addOption(
      new Option(
        '--datatype <name>',
        'how the reduced vector is written (default: as the source writes it)',
      ).choices(DATATYPES.filter((name) => name !== 'uint8')),
    )
    .addOption(
      new Option(
        '--quantization <name>',
        'codes held in memory, the reduced vector on disk; none: the reduced vector in memory (default: as in the source)',
      ).choices([...QUANTIZATIONS]),
    )
    .option('--record <file>', 'progress file (default: .qdrant-tldr/<source>--<target>.json)')
    .option('--lanes <n>', 'ranges copied at the same time', wholeNumber)
    .option('--batch-size <n>', 'points per request', wholeNumber)
    .action((source: string, target: string, flags: MigrateFlags) =>
      withConsole(flags, (run, config) => migrate({ source, target, flags }, { run, config })),
    );
  command.addHelpText(
    'after',
    `
Examples:
  qdrant-tldr migrate docs docs_c96 --encoder enc.onnx --dry-run
  qdrant-tldr migrate docs docs_c96 --encoder enc.onnx --yes
  qdrant-tldr migrate docs docs_2s --encoder enc.onnx --layout two-stage
  qdrant-tldr migrate docs docs_2s --encoder enc.onnx --layout two-stage --datatype float16 --quantization scalar

Writes to the source while this runs are not followed: pause them, or compare afterwards.`,
  );
  return withWriteFlags(withGlobalFlags(command));
}

async function migrate(
  { source, target, flags }: { source: string; target: string; flags: MigrateFlags },
  { run, config }: { run: ConsoleRun; config: Config },
): Promise<void> {
  const encoder = await Encoder.load(flags.encoder);
  const recordPath = flags.record ?? join(config.stateFolder, `${safe(source)}--${safe(target)}.json`);
  await withStore(config, run, async (store) => {
    const request = {
      source: store,
      target: store,
      sourceCollection: source,
      targetCollection: target,
      encoder,
      layout: flags.layout,
      vectorName: flags.vector,
      compactName: flags.compactName,
      datatype: flags.datatype,
      quantization: flags.quantization,
    };
    const plan = await planMigration(request);
    printPlan(run, plan);
    if (flags.dryRun === true) {
      const record = await checkRecord(plan, recordPath);
      if (record !== null) run.say(`  ${recordPath} records this migration: ${record.phase}`);
      run.say('dry run: nothing was written');
      run.result({ dryRun: true, ...summary(plan) });
      return;
    }
    await run.confirm(`Create and fill ${target} in ${store.endpoint}?`);
    run.say(`progress is kept in ${recordPath}; if this stops, the same command goes on`);
    const { lanes, batchSize } = config;
    const { signal, log, onProgress } = run;
    const report = await migrateCollection({
      ...request,
      recordPath,
      lanes,
      batchSize,
      signal,
      log,
      onProgress,
    });
    const { copied, seconds, resumed, verify } = report;
    run.say(
      `copied ${copied.toLocaleString('en-US')} points${resumed ? ' (going on with an earlier run)' : ''} in ${seconds.toFixed(1)} s`,
    );
    run.say(
      `verified all ${verify.points.toLocaleString('en-US')} points: ids, payloads, vectors and settings agree`,
    );
    run.result({
      ...summary(plan),
      copied,
      seconds,
      resumed,
      verified: verify.points,
      record: recordPath,
    });
  });
}

function printPlan(run: ConsoleRun, plan: MigrationPlan): void {
  const ram = ({ vectorsRamBytes, indexRamBytes }: MigrationPlan['before']): string =>
    megabytes(vectorsRamBytes + indexRamBytes);
  run.say(
    `${plan.sourceCollection} -> ${plan.targetCollection} (${plan.layout}), ${plan.points.toLocaleString('en-US')} points`,
  );
  run.say(
    `  vector "${plan.vectorName}": ${plan.inputDim} -> ${plan.outputDim} dimensions, ${plan.distance}`,
  );
  run.say(`  estimated memory for vectors and index: ${ram(plan.before)} -> ${ram(plan.after)}`);
  run.say(
    `  encoder ${plan.encoderFingerprint.slice(0, 16)}; target ${plan.targetExists ? 'exists and will be completed' : 'will be created'}`,
  );
}

function summary(plan: MigrationPlan): Record<string, unknown> {
  const { sourceSpec, targetSpec, ...rest } = plan;
  return { ...rest, sourceVectors: sourceSpec.vectors, targetVectors: targetSpec.vectors };
}

/** A collection name as part of a file name. */
function safe(name: string): string {
  return encodeURIComponent(name).replaceAll('.', '%2E');
}
