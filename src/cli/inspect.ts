import { Command } from 'commander';
import { wholeNumber, withGlobalFlags } from './console/options.js';
import type { InspectFlags } from './run-inspect.js';

const HELP = `
Reads   the settings and the number of points of the collection
Writes  nothing

Examples:
  qdrant-tldr inspect docs
  qdrant-tldr inspect docs --dim 96
  qdrant-tldr inspect public.docs --url postgres://app@localhost/app

Memory is an estimate from dimensions, datatypes, quantisation and graph links.

Documentation: docs/cli.md`;

/** `inspect`: shows what a collection is and what it would take with fewer dimensions. */
export function inspectCommand(): Command {
  const command = new Command('inspect')
    .description('Show dimensions, distance, count and estimated memory of a collection, now and reduced.')
    .argument('<collection>', 'collection to show; it is only read')
    .option('--dim <n>', 'dimensions to compare with (default: an eighth)', wholeNumber)
    .action(async (collection: string, flags: InspectFlags) =>
      (await import('./run-inspect.js')).runInspect(collection, flags),
    );
  command.addHelpText('after', HELP);
  return withGlobalFlags(command);
}
