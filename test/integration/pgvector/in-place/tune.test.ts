import { afterAll, beforeAll, describe, expect } from '@jest/globals';
import { startInPlace } from '../../../../src/migrate/in-place/run.js';
import { runCli, type CliResult } from '../../../support/cli/run-cli.js';
import {
  expectEqual,
  linearEncoder,
  makeDocuments,
  sideTables,
  withPgvector,
} from '../../../support/postgres/in-place.js';
import {
  startPostgres,
  testsOnPostgres,
  type PostgresServer,
} from '../../../support/postgres/postgres-server.js';

const postgresTest = await testsOnPostgres();
const ENCODER = linearEncoder();
const NAME = { collection: 'docs', vectorName: undefined };
let server: PostgresServer;

beforeAll(async () => {
  server = await startPostgres();
  await makeDocuments(server, 'docs', { rows: 1_000 });
});
afterAll(async () => {
  await server.stop();
});

const migrate = (...args: string[]): Promise<CliResult> =>
  runCli(['migrate', ...args], { cwd: process.cwd(), env: { DATABASE_URL: server.url } });

describe('migrate tune of a table', () => {
  postgresTest('refuses a table without a migration, and settings out of range', async () => {
    expect(await migrate('tune', 'docs', '--nice', '1')).toMatchObject({
      code: 4,
      stderr: expect.stringContaining('there is no migration of docs') as unknown,
    });
  });

  postgresTest('changes the settings of a run under way, which status shows', async () => {
    await withPgvector(server.url, async (store) => {
      const request = { ...NAME, encoder: ENCODER.toBytes(), datatype: undefined, hnswM: undefined };
      // So slow that every batch is held back for as long as possible.
      const running = startInPlace(store, request, { lockWaitMs: 500, throttle: { maxLoad: '0.0001ms' } });
      while (((await store.inPlace.find(NAME))?.filled ?? 0) === 0)
        await new Promise((resolve) => setTimeout(resolve, 20));
      const slow = await migrate('status', 'docs');
      expect(slow.stdout).toContain('waits while searches take over 0.0001ms');
      const tuned = await migrate('tune', 'docs', '--max-load', 'off', '--nice', '0.5', '--json');
      expect({ code: tuned.code, stderr: tuned.stderr }).toMatchObject({ code: 0 });
      expect(tuned.json()).toEqual({ maxLoad: null, nice: 0.5 });
      const { state } = await running;
      expect(state).toMatchObject({ phase: 'ready', throttle: { maxLoad: null, nice: 0.5 } });
    });
    const { stdout } = await migrate('status', 'docs');
    expect(stdout).toContain('throttle: rests 0.5 times as long as it works; does not watch the load');
    const [side = ''] = await sideTables(server);
    await expectEqual(server, { table: 'docs', side, encoder: ENCODER });
  });

  postgresTest('refuses settings out of range, and keeps those that were there', async () => {
    const wrong = await migrate('tune', 'docs', '--max-load', 'much');
    expect(wrong).toMatchObject({ code: 2, stderr: expect.stringContaining('expected 2x') as unknown });
    expect(await migrate('tune', 'docs')).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('give --max-load, --nice or both') as unknown,
    });
    await withPgvector(server.url, async (store) => {
      expect((await store.inPlace.find(NAME))?.throttle).toEqual({ maxLoad: null, nice: 0.5 });
    });
  });
});
