import { afterAll, beforeAll, describe, expect } from '@jest/globals';
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Rng } from '../../../../src/core/rng.js';
import { IN_PLACE_LAYOUTS, type InPlaceLayout } from '../../../../src/store/in-place-target.js';
import { runCli } from '../../../support/cli/run-cli.js';
import {
  DIM,
  expectEqual,
  linearEncoder,
  makeDocuments,
  sideOf,
  startTable,
  vectorText,
  withPgvector,
} from '../../../support/postgres/in-place.js';
import {
  startPostgres,
  testsOnPostgres,
  type PostgresServer,
} from '../../../support/postgres/postgres-server.js';

const postgresTest = await testsOnPostgres('programs');
const run = promisify(execFile);
const ENCODER = linearEncoder();
const NAME = { collection: 'docs', vectorName: undefined };
const rng = new Rng(13);
let server: PostgresServer;
let cwd = '';

beforeAll(async () => {
  server = await startPostgres('programs');
  cwd = await mkdtemp(join(tmpdir(), 'qdrant-tldr-schema-'));
  await ENCODER.save(join(cwd, 'enc.onnx'));
});
afterAll(async () => {
  await server.stop();
  await rm(cwd, { recursive: true, force: true });
});

/** Returns a database with the schema of a migrated table and its search function, but without any row. */
async function restored(layout: InPlaceLayout): Promise<PostgresServer> {
  const own = await server.beside();
  await makeDocuments(own, 'docs');
  await startTable(own.url, 'docs', ENCODER, { layout });
  await withPgvector(own.url, async (store) => {
    const work = await store.inPlace.resume(NAME, { lockWaitMs: 500 });
    await work.cutOver({ form: 'function', name: 'find_docs', candidates: 100 });
    await work.release();
  });
  const schema = join(cwd, `${layout}.sql`);
  const program = (name: string): string => join(String(server.programs), name);
  await run(program('pg_dump'), ['-d', own.url, '--schema-only', '-f', schema]);
  const copy = await server.beside();
  await run(program('psql'), ['-q', '-v', 'ON_ERROR_STOP=1', '-d', copy.url, '-f', schema]);
  await own.stop();
  return copy;
}

const insert = (id: number, vector = vectorText(rng)): string =>
  `insert into docs values (${id}, '', '{}', '${vector}')`;
const MISSING = /the weights in .* are missing or incomplete/;

describe('a restore of the schema alone', () => {
  postgresTest.each(IN_PLACE_LAYOUTS)(
    'of the layout %s lets no write and no search pass without the weights',
    async (layout) => {
      const copy = await restored(layout);
      const one = vectorText(rng);
      await expect(copy.sql(insert(1))).rejects.toThrow(MISSING);
      await expect(
        copy.sql(`copy docs (id, embedding) from program 'echo "1|${one}"' with (delimiter '|')`),
      ).rejects.toThrow(MISSING);
      await expect(copy.sql(`select * from find_docs('${one}', 5)`)).rejects.toThrow(MISSING);
      const [project = {}] = await copy.sql(
        `select oid::regproc::text as name from pg_proc where proname = 'project_${ENCODER.fingerprint.slice(0, 12)}'`,
      );
      await expect(copy.sql(`select ${String(project['name'])}('${one}')`)).rejects.toThrow(MISSING);
      expect(await copy.sql('select from docs')).toEqual([]);

      // A part of the weights is as good as none.
      const script = join(cwd, 'encoder.sql');
      await runCli(['sql', '--encoder', 'enc.onnx', '--out', script, '--force'], { cwd });
      await copy.sql(await readFile(script, 'utf8'));
      const weights = `tldr."weights_${ENCODER.fingerprint.slice(0, 12)}"`;
      await copy.sql(
        `create table kept as select * from ${weights} where output = 0; delete from ${weights} where output = 0`,
      );
      await expect(copy.sql(insert(1))).rejects.toThrow(MISSING);
      await copy.sql(`insert into ${weights} select * from kept`);
      await copy.sql(insert(1, one));
      expect(await copy.sql(`select id from find_docs('${one}', 5)`)).toEqual([{ id: 1 }]);
      await copy.stop();
    },
  );

  postgresTest.each(IN_PLACE_LAYOUTS)('of the layout %s is migrated again', async (layout) => {
    const copy = await restored(layout);
    await copy.sql('alter table docs disable trigger user');
    if (layout === 'index-only') await expect(copy.sql(insert(1))).rejects.toThrow(MISSING);
    else for (let id = 1; id <= 40; id++) await copy.sql(insert(id));
    const { state, verified } = await startTable(copy.url, 'docs', ENCODER, { layout });
    expect(state).toMatchObject({ phase: 'ready', warnings: [] });
    expect(verified).toMatchObject({ missing: 0, orphans: 0, differing: 0 });
    const one = `[${Array.from({ length: DIM }, () => 1).join(',')}]`;
    await copy.sql(insert(50, one));
    if (layout === 'side')
      await expectEqual(copy, { table: 'docs', side: await sideOf(copy, 'docs'), encoder: ENCODER });
    expect(await copy.sql(`select id from find_docs('${one}', 1)`)).toEqual([{ id: 50 }]);
    await copy.stop();
  });
});
