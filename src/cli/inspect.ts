import { Command } from 'commander';
import { wholeNumber, withGlobalFlags } from './console/options.js';
import { namedTable, withTableFlags, type TableFlags } from './console/table-flags.js';
import type { InspectFlags } from './run-inspect.js';
import { wrappedHelp } from './console/help-groups.js';

const HELP = `
Reads   the settings and the number of points of the collection
Writes  nothing

Examples:
  qdrant-tldr inspect docs
  qdrant-tldr inspect docs --dim 96
  qdrant-tldr inspect postgres://app@localhost/app --table public.docs --column embedding

Memory is an estimate from dimensions, datatypes, quantisation and graph links.

Documentation: docs/cli.md`;

/** `inspect`: shows what a collection is and what it would take with fewer dimensions. */
export function inspectCommand(): Command {
  const command = new Command('inspect')
    .description('Show dimensions, distance, count and estimated memory of a collection, now and reduced.')
    .argument('<collection>', 'collection or table to show; it is only read')
    .option('--vector <name>', 'vector to show, if the collection has several')
    .option('--dim <n>', 'dimensions to compare with (default: an eighth)', wholeNumber)
    .action(async (named: string, flags: InspectFlags & TableFlags) => {
      const { collection, way } = namedTable(named, flags);
      await (await import('./run-inspect.js')).runInspect(collection, { ...flags, ...way });
    });
  command.addHelpText('after', () => wrappedHelp(HELP));
  return withGlobalFlags(withTableFlags(command));
}
