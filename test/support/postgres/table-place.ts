import { expect } from '@jest/globals';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Encoder } from '../../../src/encoder/model.js';
import { runCli, type CliResult } from '../cli/run-cli.js';
import { startPostgres, type PostgresServer } from './postgres-server.js';

/** A database on a server, and a folder in which commands run. */
export interface TablePlace {
  readonly server: PostgresServer;
  readonly cwd: string;
  /** Runs a command on the database, or on another one. */
  readonly run: (args: readonly string[], on?: Pick<PostgresServer, 'url'>) => Promise<CliResult>;
  /** Runs a command that has to succeed. */
  readonly succeeded: TablePlace['run'];
  readonly end: () => Promise<void>;
}

/**
 * Opens a place for tests of commands on tables.
 * @param options.version of the packaged server
 * @param options.encoder is saved as `enc.onnx`
 */
export async function openTablePlace({
  needs = 'any',
  version,
  encoder,
}: {
  readonly needs?: 'any' | 'programs';
  readonly version?: string;
  readonly encoder?: Encoder;
} = {}): Promise<TablePlace> {
  const server = await startPostgres(needs, [], version);
  const cwd = await mkdtemp(join(tmpdir(), 'qdrant-tldr-table-'));
  await encoder?.save(join(cwd, 'enc.onnx'));
  const run: TablePlace['run'] = (args, { url } = server) =>
    runCli(args, { cwd, env: { DATABASE_URL: url } });
  return {
    server,
    cwd,
    run,
    succeeded: async (args, on) => {
      const result = await run(args, on);
      expect({ code: result.code, stderr: result.stderr }).toMatchObject({ code: 0 });
      return result;
    },
    end: async () => {
      await server.stop();
      await rm(cwd, { recursive: true, force: true });
    },
  };
}
