import type { DemoSearch } from '../../../src/store/adapter.js';
import { literal, quoted } from '../catalog/identifiers.js';
import { numberIn } from '../catalog/values.js';
import type { Connections } from '../connect/connections.js';
import { OPERATORS } from '../catalog/vector-operators.js';
import { objectsOf, operator, type MigrationFacts } from '../migrate/objects.js';
import { compactQueryOf, twoStageStatement } from '../migrate/search-query.js';
import { EF_DEFAULT } from '../read/search-rows.js';

/** First-stage results that full vectors put in order. */
const RESCORED = [30, 100] as const;
const RESCORED_BITS = 100;

/** The indexes of the demo's table. */
export interface DemoIndexes {
  readonly full: string;
  readonly bits: string;
}

/** Returns the ways of searching the demo's table: by full vectors, by their signs, by compact vectors. */
export async function demoSearches(
  connections: Connections,
  facts: MigrationFacts,
  indexes: DemoIndexes,
): Promise<readonly DemoSearch[]> {
  const { base, index } = objectsOf(facts);
  const { extension, inputDim, outputDim, column, compactType } = facts;
  const [full, query] = [`t.${quoted(column)}`, `$1::${extension}.vector`];
  const distance = `${full} ${operator(facts, OPERATORS[facts.distance].sign)} ${query}`;
  const signs = (of: string): string => `${extension}.binary_quantize(${of})::pg_catalog.bit(${inputDim})`;
  const byBits = `${signs(full)} ${operator(facts, '<~>')} ${signs(query)}`;
  const bits = `select t.id, ${distance} as distance from ${base} t order by ${byBits} limit ${RESCORED_BITS}`;
  const compact = `${outputDim} ${compactType}`;
  const ways: readonly (Omit<DemoSearch, 'indexBytes' | 'find'> & {
    readonly index: string;
    readonly statement: (limit: number) => string;
  })[] = [
    {
      indexed: `${inputDim} vector`,
      index: indexes.full,
      rescored: null,
      isCompact: false,
      statement: (limit) => `select t.id from ${base} t order by ${distance} limit ${limit}`,
    },
    {
      indexed: `${inputDim} bit`,
      index: indexes.bits,
      rescored: RESCORED_BITS,
      isCompact: false,
      statement: (limit) => `select id from (${bits}) first order by distance limit ${limit}`,
    },
    {
      indexed: compact,
      index,
      rescored: null,
      isCompact: true,
      statement: (limit) => onePassStatement(facts, limit),
    },
    ...RESCORED.map((rescored) => ({
      indexed: compact,
      index,
      rescored,
      isCompact: true,
      statement: (limit: number) => twoStage(facts, { rescored, limit }),
    })),
  ];
  const searches: DemoSearch[] = [];
  for (const { index: name, statement, ...way } of ways)
    searches.push({
      ...way,
      indexBytes: await bytesOf(connections, name),
      find: (vector, limit) =>
        find(connections, statement(limit), { vector, candidates: way.rescored ?? limit }),
    });
  return searches;
}

function onePassStatement(facts: MigrationFacts, limit: number): string {
  const sign = operator(facts, OPERATORS[facts.compactDistance].sign);
  return `select s.k1 as id from ${objectsOf(facts).side} s order by s.z ${sign} ${compactQueryOf(facts, '$1')} limit ${limit}`;
}

function twoStage(
  facts: MigrationFacts,
  { rescored, limit }: { readonly rescored: number; readonly limit: number },
): string {
  return twoStageStatement(facts, {
    selected: '(first."row").id',
    query: '$1',
    compactQuery: compactQueryOf(facts, '$1'),
    filter: '',
    threshold: '',
    candidates: String(rescored),
    limit: String(limit),
  });
}

/** Searches by the index only, as a large table does. */
async function find(
  connections: Connections,
  statement: string,
  { vector, candidates }: { readonly vector: Float32Array; readonly candidates: number },
): Promise<readonly number[]> {
  const rows = await connections.read(async ({ query }) => {
    await query(
      `set local hnsw.ef_search = ${Math.max(EF_DEFAULT, candidates)}; set local enable_seqscan = off`,
    );
    return query(`select found.id::pg_catalog.text as id from (${statement}) found`, [
      `[${vector.join(',')}]`,
    ]);
  });
  return rows.map((row) => numberIn(row, 'id'));
}

async function bytesOf(connections: Connections, index: string): Promise<number> {
  const [row = {}] = await connections.query(
    `select pg_catalog.pg_relation_size(${literal(index)}::pg_catalog.regclass)::pg_catalog.text as bytes`,
  );
  return numberIn(row, 'bytes');
}
