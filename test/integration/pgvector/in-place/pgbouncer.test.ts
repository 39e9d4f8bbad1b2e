import { afterAll, beforeAll, expect } from '@jest/globals';
import { expectEqual, linearEncoder, makeDocuments } from '../../../support/postgres/in-place.js';
import { startPgbouncer, testsOnPgbouncer } from '../../../support/postgres/pgbouncer.js';
import { testsOnPostgres } from '../../../support/postgres/postgres-server.js';
import { openTablePlace, type TablePlace } from '../../../support/postgres/table-place.js';

const poolerTest = testsOnPgbouncer(await testsOnPostgres('programs'));
const ENCODER = linearEncoder();
const START = ['migrate', 'start', 'docs', '--encoder', 'enc.onnx', '--yes'];
let place: TablePlace;

beforeAll(async () => {
  place = await openTablePlace({ needs: 'programs', encoder: ENCODER });
  await makeDocuments(place.server, 'docs', { rows: 30 });
});
afterAll(async () => {
  await place.end();
});

poolerTest('in transaction mode, tables are read and not migrated', async () => {
  const pooler = await startPgbouncer(place.server.url, 'transaction');
  await place.succeeded(['inspect', 'docs'], pooler);
  const { code, stderr } = await place.run(START, pooler);
  expect({ code, stderr }).toMatchObject({
    code: 7,
    stderr: expect.stringContaining('a pooler in session mode') as unknown,
  });
  expect(await place.server.sql(`select from pg_namespace where nspname = 'tldr'`)).toEqual([]);
  await pooler.stop();
});

poolerTest('in session mode, a table is migrated', async () => {
  const pooler = await startPgbouncer(place.server.url, 'session');
  await place.succeeded(START, pooler);
  await expectEqual(place.server, { table: 'docs', encoder: ENCODER });
  await place.succeeded(['migrate', 'cutover', 'docs', '--form', 'function', '--execute'], pooler);
  await place.succeeded(['migrate', 'rollback', 'docs', '--execute'], pooler);
  await place.succeeded(['migrate', 'abort', 'docs', '--execute', '--yes'], pooler);
  await pooler.stop();
});

poolerTest('in statement mode, everything is refused with words', async () => {
  const pooler = await startPgbouncer(place.server.url, 'statement');
  for (const args of [['inspect', 'docs'], START]) {
    const { code, stderr } = await place.run(args, pooler);
    expect({ code, stderr }).toMatchObject({
      code: 7,
      stderr: expect.stringContaining('a pooler in statement mode') as unknown,
    });
  }
  await pooler.stop();
});
