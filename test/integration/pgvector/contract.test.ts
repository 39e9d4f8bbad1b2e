import { afterAll, describe } from '@jest/globals';
import { openPgvector } from '../../../adapters/pgvector/index.js';
import { partsOfId } from '../../../adapters/pgvector/read/row-keys.js';
import { DISTANCES, type Distance } from '../../../src/core/distance.js';
import type { PointId } from '../../../src/core/point-id.js';
import {
  contractCases,
  type ContractCollection,
  type ContractStore,
} from '../../../src/store/testing/index.js';
import { linearEncoder } from '../../support/postgres/in-place.js';
import {
  startPostgres,
  testsOnPostgres,
  type PostgresServer,
} from '../../support/postgres/postgres-server.js';

const postgresTest = await testsOnPostgres();
let started: Promise<PostgresServer> | undefined;
afterAll(async () => (await started)?.stop());

/** A kind of key, the columns that it makes, and unusual values of it. */
interface KeyKind {
  readonly title: string;
  readonly columns: string;
  readonly key: readonly string[];
  readonly unusual: readonly PointId[];
  readonly usual: (i: number) => PointId;
}

const uuid = (i: number): string => `00000000-0000-4000-8000-${String(i).padStart(12, '0')}`;
const TEXTS = ['', ' ', '0', '-7', '[1]', 'A', 'a', 'Z', "it's", '\\', 'ü', '\uffee', '\u{1F600}', '["a"]'];

const KINDS: readonly KeyKind[] = [
  {
    title: 'bigint',
    columns: 'id bigint',
    key: ['id'],
    unusual: [0n, 1n, -1n, 2n ** 53n + 1n, 2n ** 63n - 1n, -(2n ** 63n)],
    usual: (i) => BigInt(1000 + i),
  },
  {
    title: 'integer',
    columns: '"Key" integer',
    key: ['Key'],
    unusual: [0n, 2n ** 31n - 1n, -(2n ** 31n)],
    usual: (i) => BigInt(1000 + i),
  },
  {
    title: 'uuid',
    columns: 'id uuid',
    key: ['id'],
    unusual: [uuid(0), 'ffffffff-ffff-4fff-bfff-fffffffffffe'],
    usual: (i) => uuid(1000 + i),
  },
  {
    title: 'text, ordered by bytes',
    columns: 'id text collate "C"',
    key: ['id'],
    unusual: TEXTS.map(textId),
    usual: (i) => `text ${i}`,
  },
  {
    title: 'varchar, ordered by a language',
    columns: 'id varchar(40)',
    key: ['id'],
    unusual: TEXTS.map(textId),
    usual: (i) => `text ${i}`,
  },
  {
    title: 'three columns',
    columns: 'tenant text, "n r" bigint, part uuid',
    key: ['n r', 'tenant', 'part'],
    unusual: [`[9007199254740993,"a\\"b","${uuid(1)}"]`, `[-1,"","${uuid(2)}"]`, `[-1,"","${uuid(1)}"]`],
    usual: (i) => `[${i % 7},"t${i % 11}","${uuid(i)}"]`,
  },
];

/** A text that reads like a number or a list is a list of one. */
function textId(text: string): PointId {
  return /^-?\d+$|^\[/.test(text) ? JSON.stringify([text]) : text;
}

const quoted = (name: string): string => `"${name.replaceAll('"', '""')}"`;

async function makeTable(
  { sql }: PostgresServer,
  { columns, key }: KeyKind,
  { name, vectorName, dim, points, distance }: ContractCollection,
): Promise<void> {
  const own = `${columns}, payload json, ${quoted(vectorName)} vector(${dim})`;
  await sql(`create table ${quoted(name)} (${own}, primary key (${key.map(quoted).join(', ')}))`);
  const operators: Record<Distance, string> = { cosine: 'cosine', dot: 'ip', euclid: 'l2', manhattan: 'l1' };
  await sql(
    `create index on ${quoted(name)} using hnsw (${quoted(vectorName)} vector_${operators[distance]}_ops)`,
  );
  for (const { id, vector, payloadJson } of points) {
    const values = [...partsOfId(id).map(String), payloadJson, vector && `[${vector.join(',')}]`];
    const names = [...key.map(quoted), 'payload', quoted(vectorName)].join(', ');
    await sql(
      `insert into ${quoted(name)} (${names}) values (${values.map((_, i) => `$${i + 1}`).join(', ')})`,
      values,
    );
  }
}

async function openOn(kind: KeyKind): Promise<ContractStore> {
  started ??= startPostgres();
  const server = await started;
  const store = await openPgvector({ url: server.url });
  const made: string[] = [];
  return {
    store,
    distances: DISTANCES,
    vectorName: 'the "embedding"',
    encoderFor: (inputDim) => linearEncoder(1, [inputDim, 3]).toBytes(),
    ids: (count) =>
      [...kind.unusual, ...Array.from({ length: count }, (_, i) => kind.usual(i))].slice(0, count),
    makeCollection: async (collection) => {
      made.push(collection.name);
      await makeTable(server, kind, collection);
    },
    cleanUp: async () => {
      await store.close();
      for (const name of made) await server.sql(`drop table ${quoted(name)}`);
    },
  };
}

describe.each(KINDS)('tables with a key of $title: the store contract', (kind) => {
  for (const { facet, name, run } of contractCases({ facets: ['in-place'], open: () => openOn(kind) }))
    postgresTest(`${facet}: ${name}`, run);
});
