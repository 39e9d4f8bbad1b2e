import { Command, Option } from 'commander';
import { wholeNumber, withGlobalFlags } from './console/options.js';
import type { SqlStepsFlags } from './run-sql-steps.js';
import type { SqlFlags } from './run-sql.js';
import { wrappedHelp } from './console/help-groups.js';

const HELP = `
Reads   the encoder file; with --steps also the description of the table, in the database
Writes  the script, to --out or to standard output; with --steps the files of that folder

Examples:
  qdrant-tldr sql --encoder enc.onnx | psql "$DATABASE_URL" -v ON_ERROR_STOP=1
  qdrant-tldr sql --encoder enc.onnx --extension-schema extensions --out encoder.sql
  qdrant-tldr sql docs --encoder enc.onnx --steps migrations --form function --function match_documents
  qdrant-tldr sql docs --encoder enc.onnx --steps migrations --form operator --role app

The script makes a table of weights and a function in PostgreSQL. It changes no other table. Encoders with a layer
that is not linear are refused.

--steps writes what \`migrate start\` and \`migrate cutover\` would do as numbered files of SQL, for tools such as those
of Supabase, Prisma, Drizzle and Flyway. The database is not changed. After the files have run, \`migrate verify\`,
\`status\`, \`rollback\` and \`abort\` work as after a migration by commands. With --form, the folder "undo" has the files
that take the cut-over back.

Documentation: docs/pgvector.md, docs/pgvector-migrate.md (--steps)`;

/** `sql`: prints a script that lets a database compute the projection itself. */
export function sqlCommand(): Command {
  const command = new Command('sql')
    .description('Print a script for PostgreSQL that makes the encoder a function of the database.')
    .requiredOption('--encoder <file>', 'encoder file')
    .option('--schema <name>', 'schema for the weights and the function', 'tldr')
    .option('--extension-schema <name>', 'schema of the extension pgvector', 'public')
    .addOption(
      new Option(
        '--precision <precision>',
        'without --steps: precision of the weights (default: float; half above 1,900 dimensions)',
      ).choices(['float', 'half']),
    )
    .option('--out <file>', 'file to write (default, and -: standard output)')
    .option('--force', 'replace an existing --out file')
    .argument('[table]', 'with --steps: the table to migrate')
    .option('--steps <folder>', 'write the steps of a migration of the table into this folder')
    .addOption(
      new Option('--layout <name>', 'with --steps: as for migrate start (default: side)').choices([
        'side',
        'index-only',
      ]),
    )
    .option('--vector <name>', 'with --steps: vector to reduce, if the table has several')
    .option('--datatype <name>', 'with --steps: float32 or float16')
    .option('--hnsw-m <n>', 'with --steps: links of each row in the HNSW graph', wholeNumber)
    .addOption(
      new Option(
        '--form <form>',
        'with --steps, also what clients use: a search function, or the operator <=> of one role',
      ).choices(['function', 'operator', 'none']),
    )
    .option('--function <name>', 'with --form function: its name (default: match_documents)')
    .option('--role <name>', 'with --form operator: the role whose searches change')
    .option('--candidates <n>', 'with --form function: first-stage results (default: 100)', wholeNumber)
    .action(async (table: string | undefined, flags: SqlFlags & SqlStepsFlags) => {
      if (table === undefined && flags.steps === undefined)
        return (await import('./run-sql.js')).runSql(flags);
      return (await import('./run-sql-steps.js')).runSqlSteps(table, flags);
    });
  command.addHelpText('after', () => wrappedHelp(HELP));
  return withGlobalFlags(command);
}
