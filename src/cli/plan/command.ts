import { THREADS } from '../../core/run-options.js';
import { Command, InvalidArgumentError, Option } from 'commander';
import { STORAGE_KINDS, type StorageKind } from '../../store/collection.js';
import { SCRATCH_PREFIX } from '../../plan/scratch-names.js';
import { seconds, seedNumber, wholeNumber, withGlobalFlags, withWriteFlags } from '../console/options.js';
import { KINDS, NEWER_KINDS } from './default-kinds.js';
import { addGoalFlags } from './goal-flags.js';
import { namedTable, withTableFlags, type TableFlags } from '../console/table-flags.js';
import { withRelevanceFlags } from '../train/relevance-flags.js';
import type { PlanFlags } from './run-plan-command.js';
import { wrappedHelp } from '../console/help-groups.js';

const SAMPLE_POINTS = 20_000;
const QUERIES = 300;
const OVERSAMPLINGS = [1, 2, 4, 10];

const HELP = `
Reads   the collection, which is never changed, and --queries, --labels and --qrels if you give them
Writes  a sample into a scratch collection, which it removes at the end, also after an error or Ctrl-C;
        and a page (--report) if you ask for it

Examples:
  qdrant-tldr plan docs --dry-run
  qdrant-tldr plan docs --target "recall@10>=0.97" --queries q.npy --report plan.html --yes
  qdrant-tldr plan docs --ram 8GB --yes
  qdrant-tldr plan docs --objective relevance --labels-field topic --yes
  qdrant-tldr plan docs --dims 64,96 --datatypes float32,scalar --scratch embedded --yes

With --target, the command picks the configuration with the least RAM that reaches the target. With --ram, it picks
the one with the best recall in this memory. If a compact space gains less than 2 points of recall over the server's
own codes of full vectors, and does not halve the memory, it recommends those codes. It prints the commands that
create the configuration.

Documentation: docs/plan.md`;

/** `plan`: measures the recall and memory of sizes and storage types. */
export function planCommand(): Command {
  const command = new Command('plan')
    .description(
      'Measure dims x datatype x oversampling on a sample: recall, memory, disk, latency; pick the cheapest for a target.',
    )
    .argument('<collection>', 'collection or table to plan for; it is never changed')
    .option('--vector <name>', 'vector to plan for, if the collection has several')
    .option(
      '--dims <list>',
      'dimensions to try (default: a 16th, an 8th, a 4th and half of the vector, or of the points if they are fewer)',
      numberList,
    )
    .option(
      '--datatypes <list>',
      `some of ${STORAGE_KINDS.join(', ')} (default: ${KINDS.join(', ')}; ${NEWER_KINDS.join(', ')} where the server has them)`,
      kindList,
    )
    .option(
      '--oversampling <list>',
      'first-stage results per requested result; 1: no rescoring',
      numberList,
      OVERSAMPLINGS,
    )
    .option(
      '--hnsw-m <list>',
      'links of each point in the HNSW graph to try (default: as in the collection, and 8 where links take up a fifth of the memory or more)',
      numberList,
    )
    .option('--sample <n>', 'points to measure with', wholeNumber, SAMPLE_POINTS)
    .option(
      '--queries <file>',
      'real queries, .npy, .parquet or one JSON array per line: some measure, the others train (default: points held out)',
    )
    .option(
      '--queries-count <n>',
      'queries to measure with: points held out, or at most half of --queries',
      wholeNumber,
      QUERIES,
    )
    .option('--budget <time>', 'time in which the command ends, such as 90s or 10m (default: 6m)', seconds)
    .option(
      '--deterministic',
      'let the seed alone decide: --budget (then 4m) plans trainings, and is no deadline',
    )
    .addOption(
      new Option(
        '--scratch <where>',
        'where to measure: in a scratch collection on the same server, or on a packaged server started for it',
      )
        .choices(['server', 'embedded'])
        .default('server'),
    )
    .option('--seed <n>', 'seed of everything random', seedNumber, 0)
    .option('--threads <n>', `threads (default: ${THREADS})`, wholeNumber)
    .option('--report <file>', 'write a self-contained HTML report')
    .option('--force', 'replace an existing --report file')
    .option('--all', 'show all rows, not only those that no other row beats in recall and RAM')
    .option(
      '--clean',
      `remove scratch collections (${SCRATCH_PREFIX}...) that killed runs left behind, and end`,
    )
    .action(async (named: string, flags: PlanFlags & TableFlags) => {
      const { collection, way } = namedTable(named, flags);
      await (await import('./run-plan-command.js')).runPlanCommand(collection, { ...flags, ...way });
    });
  addGoalFlags(command);
  withRelevanceFlags(command, { labels: 'lines id<TAB>label', fields: '', documents: 'point ids' });
  command.addHelpText('after', () => wrappedHelp(HELP));
  return withWriteFlags(withGlobalFlags(withTableFlags(command)));
}

function numberList(text: string): number[] {
  const values = text.split(',').map((part) => wholeNumber(part));
  if (values.some((value) => value < 1)) throw new InvalidArgumentError('expected whole numbers from 1');
  return [...new Set(values)].sort((a, b) => a - b);
}

function kindList(text: string): StorageKind[] {
  return text.split(',').map((part) => {
    const kind = STORAGE_KINDS.find((name) => name === part.trim());
    if (kind === undefined) throw new InvalidArgumentError(`expected some of ${STORAGE_KINDS.join(', ')}`);
    return kind;
  });
}
