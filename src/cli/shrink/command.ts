import { Command, Option } from 'commander';
import { THREADS } from '../../core/run-options.js';
import { DEFAULT_LAYOUT } from '../../store/defaults.js';
import { PROPOSAL_NAMES } from '../../plan/proposals.js';
import { namedTable, withTableFlags, type TableFlags } from '../console/table-flags.js';
import { seconds, seedNumber, wholeNumber, withGlobalFlags, withWriteFlags } from '../console/options.js';
import type { ShrinkFlags } from './work.js';
import { wrappedHelp } from '../console/help-groups.js';

/** Points that the sizing measures with: enough for a first answer within a minute or two. */
const SAMPLE_POINTS = 5_000;
/** Planned time of the training; the sizing before it takes half of it. */
const BUDGET_SECONDS = 240;

const HELP = `
Reads   the collection or table, whose data is never changed, and --queries if you give them
Writes  a sample into a temporary collection, which it removes again; the encoder file (--out); the target collection
        and the migration state; its own state beside the encoder file; a page (--report) if you ask for it.
        For a table: compact vectors and the migration state in the schema tldr, and triggers of the table; with
        --form, the search function, or an operator, an index of the table and the search path of the role

Examples:
  qdrant-tldr shrink docs
  qdrant-tldr shrink docs --dry-run
  qdrant-tldr shrink docs --yes --choose balanced --report shrink.html
  qdrant-tldr shrink docs --yes --choose safe --queries real-queries.npy --budget 10m
  qdrant-tldr shrink postgres://app@localhost/app --table docs --column embedding
  qdrant-tldr shrink docs --yes --choose balanced --form function --function match_documents

It measures what less memory costs, proposes three sizes, and carries out the one that you choose:
  safe      the least memory that surely finds 99 % of the same first ten results
  balanced  the least memory that finds 97 %
  smallest  the least memory that finds 90 %
Then it trains the encoder, migrates into the two-stage layout, evaluates, and says how clients connect. It prints
every command that does the same without the guide. Each step is kept: after Ctrl-C or a crash, the same command
continues.

No client notices anything before you point it to the proxy. An alias is switched only with --switch, or if you
answer the question with yes.

A table of PostgreSQL gets compact vectors beside its full ones, which triggers keep up to date. There is no second
collection and no proxy: the last step shows how a search function, the operator <=> of one role, or the query itself
uses them. Clients are changed only with --form function or --form operator, or if you answer the question with it.
The operator is only for cosine, and its distances are approximate. The sizing compares indexes, in a temporary schema.

Documentation: docs/shrink.md, docs/pgvector.md (tables of PostgreSQL)`;

/** `shrink`: the guided way from a collection to a smaller one in service. */
export function shrinkCommand(): Command {
  const command = new Command('shrink')
    .description('Size, train, migrate and evaluate in one guided run that you can stop and continue.')
    .argument('<collection>', 'collection or table to shrink; its data is only read')
    .addOption(
      new Option('--choose <proposal>', 'carry out this proposal instead of asking').choices([
        ...PROPOSAL_NAMES,
      ]),
    )
    .option('--target <name>', 'collection to create (default: <collection>_<dimensions>_<storage>)')
    .option('--out <file>', 'encoder file to write (default: <collection>.onnx)')
    .option('--vector <name>', 'vector to reduce, if the collection has several')
    .addOption(
      new Option(
        '--layout <name>',
        'two-stage: also the full vectors, on disk, to rescore results; compact: compact vectors only',
      )
        .choices(['two-stage', 'compact'])
        .default(DEFAULT_LAYOUT),
    )
    .option('--queries <file>', 'real queries, .npy or one JSON array per line (default: points held out)')
    .option('--sample <n>', 'points that the sizing measures with', wholeNumber, SAMPLE_POINTS)
    .addOption(
      new Option(
        '--budget <time>',
        'time in which the training ends, such as 90s or 10m, and before it the sizing',
      )
        .argParser(seconds)
        .default(BUDGET_SECONDS, '4m'),
    )
    .option('--deterministic', 'let the seed alone decide how long the training is, not the clock')
    .option('--switch <alias>', 'at the end, let this alias lead to the new collection')
    .addOption(
      new Option(
        '--form <form>',
        'PostgreSQL, at the end; function: replace or make a search function; operator: <=> of one role; none: only show how',
      ).choices(['function', 'operator', 'none']),
    )
    .option('--function <name>', 'PostgreSQL, with --form function: its name (default: match_documents)')
    .option('--role <name>', 'PostgreSQL, with --form operator: the role whose searches change')
    .option('--seed <n>', 'seed of everything random', seedNumber, 0)
    .option('--threads <n>', `threads (default: ${THREADS})`, wholeNumber)
    .option('--report <file>', 'write everything into one self-contained HTML page')
    .option(
      '--color-by <field>',
      "payload field that colours the page's map, auto (default: one that suits) or none",
    )
    .option(
      '--text-field <field>',
      "payload field whose texts the page's example queries show, auto (default) or none",
    )
    .option('--force', 'replace an existing --report file')
    .action(async (named: string, flags: ShrinkFlags & TableFlags) => {
      const { collection, way } = namedTable(named, flags);
      await (await import('./run-shrink.js')).runShrink(collection, { ...flags, ...way });
    });
  command.addHelpText('after', () => wrappedHelp(HELP));
  return withWriteFlags(withGlobalFlags(withTableFlags(command)));
}
