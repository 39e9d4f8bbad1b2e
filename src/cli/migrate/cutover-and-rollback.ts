import { Option, type Command } from 'commander';
import { FORCE_WORDS, FORCE_BACK_WORDS } from '../../migrate/cutover/force-words.js';
import { withHookFlags } from './hooks.js';
import { stateCommand } from './state-flags.js';
import { seconds, wholeNumber } from '../console/options.js';
import type { CutoverTableFlags } from './in-place/run-change.js';
import type { RollbackFlags, CutoverFlags } from './run-cutover-and-rollback.js';
import { FREEZE_SECONDS, withCatchUpFlags } from './catch-up-flags.js';

/** Default of --wait-max, the longest wait for the proxy. */
const WAIT_SECONDS = 60;

const EXECUTE = 'do it; without this, only say what would happen';

const CUTOVER_HELP = `Reads   the migration state, both collections and, with --by proxy, the proxy's reports
Writes  with --execute: the alias, or with --by proxy the side that the proxy reads; and the migration state

Examples:
  qdrant-tldr migrate cutover docs docs_2s --alias search
  qdrant-tldr migrate cutover docs docs_2s --alias search --execute --on before-cutover ./stop-writers.sh
  qdrant-tldr migrate cutover docs docs_2s --bare-name --execute
  qdrant-tldr migrate cutover docs docs_2s --by proxy
  qdrant-tldr migrate cutover docs docs_2s --by proxy --execute
  qdrant-tldr migrate cutover docs docs_2s --alias search --catch-up --execute --on before-cutover ./stop-writers.sh

The cut-over is refused until every point was verified, unless you give --force "${FORCE_WORDS}".
If a before-cutover hook fails, nothing is switched.

A compact target answers no query with a full vector. The command tries one, shows the answer, and switches a
name to such a target only if a running proxy serves it (\`serve\`, found at its address for operators,
QDRANT_TLDR_LISTEN_OPERATIONS), or with --clients-project. A two-stage target needs neither.

--by proxy is for a migration that was started with --journal. No name changes: from one moment on, the proxy
answers reads from the target, which then holds every acknowledged write. No request fails, and writes wait
for three seconds at most. The source still gets every write, so a rollback loses nothing. If the proxy does
not switch within --wait-max, clients stay where they are.

--catch-up is for clients that write to the source without the proxy. The command compares and repairs until
few points differ, lets the before-cutover hook stop the writers, repairs the rest and switches. It prints how
long the writers were stopped. If something fails after that hook, the cutover-failed hook runs.

--bare-name is for clients that use the collection's own name. The name then leads to the target, and the
source stays, hidden behind its name. The server allows this but does not promise it, so it is tried on two
temporary collections first. Danger: the peers of a cluster resolve a name twice, and half of the searches and
writes would go to the wrong collection. Clusters are refused, and a server must not become one while a name
is switched this way. Until the rollback, nobody may delete the collection by that name: the server would
delete the hidden source.

For a table of PostgreSQL, --form says what clients use:
  qdrant-tldr migrate cutover docs --form function --function match_documents --execute
  qdrant-tldr migrate cutover docs --form operator --role app --execute

--form operator is for clients that write "order by embedding <=> $1 limit 10" and cannot change. New connections of
one role find an operator <=> over the compact vectors first, through their search_path. Only for cosine, and only for
a role that reads no other column of vectors of this type. The distances that clients see are approximate.

Documentation: docs/migrate.md, docs/migrate-proxy.md (--by proxy), docs/migrate-catch-up.md (--catch-up),
docs/pgvector-migrate.md (--form)`;

const ROLLBACK_HELP = `Reads   the migration state, both collections; after --by proxy, the proxy's reports
Writes  with --execute: the alias, or the side that the proxy reads; and the migration state

Examples:
  qdrant-tldr migrate rollback docs docs_2s
  qdrant-tldr migrate rollback docs docs_2s --execute

After a cut-over by the proxy, both collections have every write, and a rollback loses nothing. After any
other cut-over, the source lacks what clients wrote to the target since then.

If no proxy is running, clients go back when it is started again. If the proxy was ended (by SIGTERM, for
example), an entry without "migrating" may have written to the target alone since then. The rollback is then
refused, unless you give --force "${FORCE_BACK_WORDS}".

Documentation: docs/migrate.md, docs/migrate-proxy.md`;

/** `migrate cutover`: send clients to the target. */
export function cutoverCommand(): Command {
  const command = stateCommand('cutover', {
    description:
      'Send clients to the target by one atomic switch, of a name or in the proxy. A dry run unless you give --execute.',
    examples: CUTOVER_HELP,
  })
    .option('--alias <name>', 'the alias that clients use')
    .option('--bare-name', "switch the source's own name instead of an alias; single servers only, see below")
    .addOption(
      new Option(
        '--by <who>',
        'proxy: switch the reads of the proxy; instead of --alias and --bare-name',
      ).choices(['proxy']),
    )
    .addOption(
      new Option(
        '--wait-max <time>',
        'with --by proxy: longest wait for the proxy; after it, clients stay where they are',
      )
        .argParser(seconds)
        .default(WAIT_SECONDS, '60s'),
    )
    .option(
      '--encoder <file>',
      'with --catch-up: encoder file (default: the file that the migration state names)',
    )
    .option(
      '--freeze-max <time>',
      `with --catch-up: longest stop of the writers; after it, nothing is switched (default: ${FREEZE_SECONDS}s)`,
      seconds,
    )
    .option(
      '--allow-lag <n>',
      'with --catch-up: do not stop the writers; switch while up to n points differ',
      wholeNumber,
    )
    .option(
      '--clients-project',
      'compact target: clients send compact vectors, so that nothing breaks; not needed if a running proxy serves it',
    )
    .option('--force <words>', `"${FORCE_WORDS}": switch without a verification`)
    .addOption(
      new Option(
        '--form <form>',
        'PostgreSQL; function: replace or make a search function; operator: <=> of one role; none: print the query that clients should send',
      ).choices(['function', 'operator', 'none']),
    )
    .option(
      '--function <name>',
      'PostgreSQL: the search function, with types if there are several (default: match_documents)',
    )
    .option('--role <name>', 'PostgreSQL, with --form operator: the role whose searches change')
    .option(
      '--candidates <n>',
      'PostgreSQL: first-stage results that are ordered by full vectors (default: 100)',
      wholeNumber,
    )
    .option('--execute', EXECUTE);
  return withHookFlags(withCatchUpFlags(command)).action(
    async (source: string, target: string | undefined, flags: CutoverFlags & CutoverTableFlags) =>
      (await import('./run-cutover-and-rollback.js')).runCutover({ source, target }, flags),
  );
}

/** `migrate rollback`: the state before the cut-over. */
export function rollbackCommand(): Command {
  return stateCommand('rollback', {
    description:
      'Send clients back to where they were before the cut-over. A dry run unless you give --execute.',
    examples: ROLLBACK_HELP,
  })
    .option('--force <words>', `"${FORCE_BACK_WORDS}": roll back although the proxy was ended`)
    .option('--execute', EXECUTE)
    .action(async (source: string, target: string | undefined, flags: RollbackFlags) =>
      (await import('./run-cutover-and-rollback.js')).runRollback({ source, target }, flags),
    );
}
