import { Command, Option } from 'commander';
import { allAdapters } from '../adapters.js';
import { withGlobalFlags } from '../console/options.js';
import type { DemoFlags } from './run-demo.js';
import { DEMO_PREFIX } from './prefix.js';
import { wrappedHelp } from '../console/help-groups.js';

const HELP = `
Reads   the demo's own data; it reads no collection of yours
Writes  Qdrant: collections named ${DEMO_PREFIX}-*; PostgreSQL: the schema tldr_demo, and tldr for the encoder. They
        are removed at the end; --keep leaves them on a server that you name until the next demo

The demo uses the first server that it finds: the one that you name (--url, QDRANT_URL or DATABASE_URL), a running
Docker engine, the packaged linux-x64 binary. With --database pgvector, it starts PostgreSQL in its own process if
you name no server. On a server that you name, it asks before it writes, and it deletes only what carries the demo's
mark.

Examples:
  qdrant-tldr demo
  qdrant-tldr demo --url http://localhost:6333 --keep
  qdrant-tldr demo --database pgvector
  qdrant-tldr demo --url postgres://app@localhost/app

Documentation: docs/benchmarks/demo.md (the output, explained)`;

/** `demo`: the whole job on real embeddings and a real server. */
export function demoCommand(): Command {
  const command = new Command('demo')
    .description(
      'Train, migrate and search 10,000 real sentence embeddings on a real server; takes a minute or two.',
    )
    .addOption(
      new Option('--database <name>', 'database (default: that of the address, or qdrant)').choices(
        allAdapters().map(({ name }) => name),
      ),
    )
    .option('--keep', 'keep the demo collections on the server that you name')
    .option('--dry-run', 'show which server would be used and write nothing')
    .action(async (flags: DemoFlags) => (await import('./run-demo.js')).runDemo(flags));
  command.addHelpText('after', () => wrappedHelp(HELP));
  return withGlobalFlags(command);
}
