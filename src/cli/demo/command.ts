import { Command } from 'commander';
import { withGlobalFlags } from '../console/options.js';
import type { DemoFlags } from './run-demo.js';
import { DEMO_PREFIX } from './prefix.js';
import { wrappedHelp } from '../console/help-groups.js';

const HELP = `
Reads   the demo's own data; it reads no collection of yours
Writes  collections named ${DEMO_PREFIX}-*, which are removed at the end; --keep leaves them until the next demo

The demo uses the first server that it finds: the one that you name (--url or QDRANT_URL), a running Docker
engine, the packaged linux-x64 binary. On a server that you name, it asks before it writes, and it deletes
only collections that carry the demo's mark.

Examples:
  qdrant-tldr demo
  qdrant-tldr demo --url http://localhost:6333 --keep

Documentation: docs/benchmarks/demo.md (the output, explained)`;

/** `demo`: the whole job on real embeddings and a real server. */
export function demoCommand(): Command {
  const command = new Command('demo')
    .description(
      'Train, migrate and search 10,000 real sentence embeddings on a real Qdrant; takes a minute or two.',
    )
    .option('--keep', 'keep the demo collections on the server that you name')
    .option('--dry-run', 'show which server would be used and write nothing')
    .action(async (flags: DemoFlags) => (await import('./run-demo.js')).runDemo(flags));
  command.addHelpText('after', () => wrappedHelp(HELP));
  return withGlobalFlags(command);
}
