import { Command } from 'commander';
import { withGlobalFlags } from './console/options.js';
import type { ProjectFlags } from './run-project.js';
import { wrappedHelp } from './console/help-groups.js';

const HELP = `
Reads   the encoder file, and vectors from a .npy or Parquet file or as lines of JSON; it needs no server
Writes  the compact vectors, to --out or to standard output

Examples:
  qdrant-tldr project --encoder enc.onnx --input q.npy --out z.npy
  qdrant-tldr project --encoder enc.onnx --input docs.parquet --column embedding --out z.parquet
  echo '[0.1, 0.2, ...]' | qdrant-tldr project --encoder enc.onnx --as-queries

Documentation: docs/cli.md (input and output files), docs/encoder-file.md`;

/** `project`: turns full vectors into compact ones, without a database. */
export function projectCommand(): Command {
  const command = new Command('project')
    .description(
      'Project vectors through an encoder: from .npy or Parquet to either, or one JSON array per line.',
    )
    .requiredOption('--encoder <file>', 'encoder file')
    .option(
      '--input <file>',
      '.npy or .parquet file, or one JSON array per line (default, and -: lines from standard input)',
    )
    .option(
      '--column <name>',
      'the column of vectors in Parquet files (default: the only one; written: vector)',
    )
    .option(
      '--out <file>',
      'file to write: .npy, .parquet, or lines of JSON (default, and -: standard output)',
    )
    .option(
      '--as-queries',
      'project as queries: some encoders have one map for points and another one for queries',
    )
    .option('--force', 'replace an existing --out file')
    .option('--dry-run', 'check input and encoder, and write nothing')
    .action(async (flags: ProjectFlags) => (await import('./run-project.js')).runProject(flags));
  command.addHelpText('after', () => wrappedHelp(HELP));
  return withGlobalFlags(command, 'local');
}
