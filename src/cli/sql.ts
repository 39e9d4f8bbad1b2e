import { Command } from 'commander';
import { withGlobalFlags } from './console/options.js';
import type { SqlFlags } from './run-sql.js';
import { wrappedHelp } from './console/help-groups.js';

const HELP = `
Reads   the encoder file; it needs no server
Writes  the script, to --out or to standard output

Examples:
  qdrant-tldr sql --encoder enc.onnx | psql "$DATABASE_URL" -v ON_ERROR_STOP=1
  qdrant-tldr sql --encoder enc.onnx --extension-schema extensions --out encoder.sql

The script makes a table of weights and a function in PostgreSQL. It changes no other table. Encoders with a layer
that is not linear are refused.

Documentation: docs/pgvector.md`;

/** `sql`: prints a script that lets a database compute the projection itself. */
export function sqlCommand(): Command {
  const command = new Command('sql')
    .description('Print a script for PostgreSQL that makes the encoder a function of the database.')
    .requiredOption('--encoder <file>', 'encoder file')
    .option('--schema <name>', 'schema for the weights and the function', 'tldr')
    .option('--extension-schema <name>', 'schema of the extension pgvector', 'public')
    .option('--out <file>', 'file to write (default, and -: standard output)')
    .option('--force', 'replace an existing --out file')
    .action(async (flags: SqlFlags) => (await import('./run-sql.js')).runSql(flags));
  command.addHelpText('after', () => wrappedHelp(HELP));
  return withGlobalFlags(command, 'local');
}
