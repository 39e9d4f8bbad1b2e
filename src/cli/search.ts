import { Command } from 'commander';
import { wholeNumber, withGlobalFlags } from './console/options.js';
import { namedTable, withTableFlags, type TableFlags } from './console/table-flags.js';
import type { SearchFlags } from './run-search.js';
import { wrappedHelp } from './console/help-groups.js';

const HELP = `
Reads   the collection, the encoder file and the query
Writes  nothing; it prints the score, id and payload of each result

Examples:
  echo '[0.1, 0.2, ...]' | qdrant-tldr search docs_2s --encoder enc.onnx --query -
  qdrant-tldr search docs_2s --encoder enc.onnx --query q.npy --row 3 --rescore 100

Documentation: docs/cli.md, docs/evaluate.md (to measure many queries)`;

/** `search`: sends a full-size query to a compact collection, to try it out. */
export function searchCommand(): Command {
  const command = new Command('search')
    .description('Search a migrated collection with a full-size query vector.')
    .argument('<collection>', 'target of a migration')
    .requiredOption('--encoder <file>', 'encoder file that the collection was made with')
    .requiredOption(
      '--query <file>',
      'JSON array of numbers, or a .npy or .parquet file; "-" reads JSON from standard input',
    )
    .option('--row <n>', 'row of the .npy or .parquet file', wholeNumber, 0)
    .option('--query-column <name>', 'the column of vectors, if --query is a Parquet file with several')
    .option('--limit <n>', 'number of results', wholeNumber, 10)
    .option(
      '--rescore <n>',
      'two-stage layout: first-stage results to rescore with the full vectors',
      wholeNumber,
    )
    .option('--exact', 'compare with every vector instead of using the index')
    .action(async (named: string, flags: SearchFlags & TableFlags) => {
      const { collection, way } = namedTable(named, flags);
      await (await import('./run-search.js')).runSearch(collection, { ...flags, ...way });
    });
  command.addHelpText('after', () => wrappedHelp(HELP));
  return withGlobalFlags(withTableFlags(command));
}
