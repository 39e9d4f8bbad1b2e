import { afterAll, beforeAll, describe, expect } from '@jest/globals';
import { runOnline } from '../../../support/postgres/online-scenario.js';
import {
  startPostgres,
  testsOnPostgres,
  type PostgresServer,
} from '../../../support/postgres/postgres-server.js';

const postgresTest = await testsOnPostgres('programs');
/** More seeds than usual, with a line for each. */
const GIVEN_SEEDS = process.env['SEEDS'];
const SEEDS = Array.from({ length: Number(GIVEN_SEEDS ?? 2) }, (_, i) => i + 1);
let server: PostgresServer;

beforeAll(async () => {
  server = await startPostgres('programs');
});
afterAll(async () => {
  await server.stop();
});

describe('a table to which clients write while it is migrated', () => {
  postgresTest.each(SEEDS)(
    'has no difference at the end, whatever was killed on the way: seed %d',
    async (seed) => {
      const result = await runOnline(server, seed);
      const { differences, writes, kills } = result;
      if (GIVEN_SEEDS !== undefined) process.stderr.write(`${JSON.stringify(result)}\n`);
      expect(differences).toEqual({ missing: [], orphans: [], differing: [] });
      expect(Object.keys(writes).length).toBeGreaterThan(5);
      expect(kills).toHaveLength(4);
    },
  );
});
