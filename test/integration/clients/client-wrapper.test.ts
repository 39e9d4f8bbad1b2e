import { afterAll, beforeAll, describe, expect } from '@jest/globals';
import type { Embeddings } from '@langchain/core/embeddings';
import { Document } from '@langchain/core/documents';
import { QdrantVectorStore as LangChainStore } from '@langchain/qdrant';
import { BaseEmbedding } from '@llamaindex/core/embeddings';
import { TextNode } from '@llamaindex/core/schema';
import { VectorStoreQueryMode } from '@llamaindex/core/vector-store';
import { QdrantVectorStore as LlamaStore } from '@llamaindex/qdrant';
import { QdrantClient } from '@qdrant/js-client-rest';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { withProjection, type ProjectionOptions } from '../../../adapters/qdrant/client/with-projection.js';
import { openQdrant } from '../../../adapters/qdrant/index.js';
import { readNpy } from '../../../src/files/npy.js';
import { row, rowRange, type Matrix } from '../../../src/core/matrix.js';
import { randomProjection } from '../../../src/baselines/pca.js';
import { Encoder } from '../../../src/encoder/model.js';
import type { QdrantStore } from '../../../adapters/qdrant/index.js';
import { migrateCollection } from '../../../src/migrate/run/migrate-collection.js';
import { pcaEncoder } from '../../support/migrate/pca-encoder.js';
import { startTestServer, testsOn, type TestServer } from '../../support/server/test-server.js';

const test = await testsOn('any');
const POINTS = 600;
const DIM = 32;
/** Every point is a candidate: what comes back must be what the full collection would have given. */
const EVERYTHING = POINTS / 5;

let server: TestServer;
let folder: string;
let store: QdrantStore;
let plain: QdrantClient;
let encoder: Encoder;
let base: Matrix;
let query: number[];

const wrapped = (
  target: string,
  options: { vectorAnswers?: 'refuse' | 'compact' } = {},
): Promise<QdrantClient> =>
  withProjection(new QdrantClient({ url: server.url, checkCompatibility: false }), {
    collections: { docs: { target, encoder, oversampling: EVERYTHING, ...options } },
  });

/** A client that serves a two-stage target of its own under this name. */
async function servedAs(name: string, client = plain): Promise<QdrantClient> {
  await migrateCollection({
    source: store,
    target: store,
    sourceCollection: 'original',
    targetCollection: `${name}_t`,
    encoder,
    layout: 'two-stage',
    statePath: join(folder, `${name}.json`),
  });
  const collections = { [name]: { target: `${name}_t`, encoder, oversampling: EVERYTHING } };
  return withProjection(client, { collections });
}

beforeAll(async () => {
  server = await startTestServer();
  folder = await mkdtemp(join(tmpdir(), 'qdrant-tldr-wrapper-'));
  store = await openQdrant({ url: server.url, grpcUrl: server.grpcUrl });
  plain = new QdrantClient({ url: server.url, checkCompatibility: false });
  base = rowRange(await readNpy('demo/data/base.npy'), 0, POINTS);
  query = Array.from(row(await readNpy('demo/data/queries.npy'), 0));
  await plain.createCollection('original', { vectors: { size: base.cols, distance: 'Cosine' } });
  await plain.upsert('original', {
    points: Array.from({ length: POINTS }, (_, i) => ({
      id: i,
      vector: Array.from(row(base, i)),
      payload: { content: `text ${i}`, metadata: { n: i } },
    })),
  });
  encoder = await pcaEncoder(base, DIM);
  for (const layout of ['two-stage', 'compact'] as const) {
    await migrateCollection({
      source: store,
      target: store,
      sourceCollection: 'original',
      targetCollection: `docs_${layout}`,
      encoder,
      layout,
      statePath: join(folder, `${layout}.json`),
    });
  }
});

afterAll(async () => {
  await store.close();
  await server.stop();
  await rm(folder, { recursive: true });
});

const shown = (points: readonly { id: unknown; score: number }[]): unknown =>
  points.map(({ id, score }) => ({ id, score: score.toFixed(5) }));

describe('the official client, wrapped', () => {
  test('queries and legacy searches give what the full collection gives', async () => {
    const client = await wrapped('docs_two-stage');
    const direct = await plain.query('original', { query, limit: 10, params: { exact: true } });
    expect(shown((await client.query('docs', { query, limit: 10 })).points)).toEqual(shown(direct.points));
    expect(shown(await client.search('docs', { vector: query, limit: 10 }))).toEqual(shown(direct.points));
    const [batch] = await client.searchBatch('docs', { searches: [{ vector: query, limit: 10 }] });
    expect(shown(batch ?? [])).toEqual(shown(direct.points));
    const alike = { positive: [3], negative: [7], limit: 10 };
    expect(shown(await client.recommend('docs', alike))).toEqual(
      shown(await plain.recommend('original', alike)),
    );
    const groups = { vector: query, group_by: 'metadata.n', group_size: 1, limit: 5 };
    expect((await client.searchPointGroups('docs', groups)).groups.map(({ id }) => id)).toEqual(
      (await plain.searchPointGroups('original', groups)).groups.map(({ id }) => id),
    );
  });

  test('a write reaches both vectors, and stays the point it was', async () => {
    const client = await wrapped('docs_two-stage');
    const id = '6ba7b810-9dad-11d1-80b4-00c04fd430c8';
    await client.upsert('docs', { points: [{ id, vector: query, payload: { content: 'new' } }] });
    const { points } = await client.query('docs', { query, limit: 1, with_payload: true });
    expect(points[0]).toMatchObject({ id, payload: { content: 'new' } });
    const [stored] = await plain.retrieve('docs_two-stage', { ids: [id], with_vector: true });
    const projected = row(
      encoder.project({ rows: 1, cols: query.length, data: Float32Array.from(query) }),
      0,
    );
    const vectors = stored?.vector as Record<string, number[]>;
    expect(vectors['compact']?.map((x) => x.toFixed(4))).toEqual(Array.from(projected, (x) => x.toFixed(4)));
    const [seen] = await client.retrieve('docs', { ids: [id], with_vector: true });
    expect(Array.isArray(seen?.vector)).toBe(true);
    expect(seen?.vector).toHaveLength(query.length);
    await client.delete('docs', { points: [id] });
    expect(await client.count('docs', { exact: true })).toEqual({ count: POINTS });
  });

  test('the collection looks as it did', async () => {
    const client = await wrapped('docs_compact');
    const [before, now] = [await plain.getCollection('original'), await client.getCollection('docs')];
    expect(now.config.params.vectors).toEqual(before.config.params.vectors);
    const names = (await client.getCollections()).collections.map(({ name }) => name);
    expect(names).toContain('docs');
    expect(names).not.toContain('docs_compact');
  });

  test('refusals are the errors that the client throws for the server', async () => {
    const client = await wrapped('docs_compact');
    const wrong = { query: [1, 2, 3], limit: 1 };
    const caught = async (asked: Promise<unknown>): Promise<unknown> =>
      asked.then(
        () => undefined,
        (error: unknown) => ({
          name: (error as Error).constructor.name,
          status: (error as { status: number }).status,
          text: (error as { data: { status: { error: string } } }).data.status.error,
        }),
      );
    const refusal = await caught(client.query('docs', wrong));
    expect(refusal).toBeDefined();
    expect(refusal).toEqual(await caught(plain.query('original', wrong)));
    await expect(client.retrieve('docs', { ids: [1], with_vector: true })).rejects.toMatchObject({
      status: 400,
    });
  });

  test('a collection that is deleted is served no longer, and can be made anew', async () => {
    const paths = { sourceCollection: 'original', targetCollection: 'doomed_t' };
    const statePath = join(folder, 'doomed.json');
    await migrateCollection({
      source: store,
      target: store,
      ...paths,
      encoder,
      layout: 'compact',
      statePath,
    });
    const collections = { doomed: { target: 'doomed_t', encoder } };
    const client = await withProjection(plain, { collections });
    expect((await client.count('doomed')).count).toBe(POINTS);
    await client.recreateCollection('doomed', { vectors: { size: 2, distance: 'Dot' } });
    await client.upsert('doomed', { wait: true, points: [{ id: 1, vector: [1, 2] }] });
    expect((await plain.retrieve('doomed', { ids: [1], with_vector: true }))[0]?.vector).toEqual([1, 2]);
    expect((await plain.collectionExists('doomed_t')).exists).toBe(false);
    // Beside its original it stays.
    const beside = await withProjection(plain, {
      collections: { original: { target: 'docs_compact', encoder } },
    });
    await expect(beside.deleteCollection('original')).rejects.toMatchObject({ status: 400 });
    expect((await plain.count('docs_compact')).count).toBe(POINTS);
  });

  test('settings that the caller changes take effect with the answer', async () => {
    const client = await servedAs('limited');
    const exact = { query, limit: 10, params: { exact: true } };
    const change = (limits: object): Promise<boolean> =>
      client.updateCollection('limited', { strict_mode_config: { enabled: true, ...limits } });
    for (const isAllowed of [false, true, false, true]) {
      await change({ search_allow_exact: isAllowed });
      const asked = client.query('limited', exact);
      if (isAllowed) expect((await asked).points).toHaveLength(10);
      else await expect(asked).rejects.toMatchObject({ status: 400 });
      expect((await client.query('limited', { query, limit: 10 })).points).toHaveLength(10);
    }
    for (const limit of [20, POINTS, 7]) {
      await change({ max_query_limit: limit });
      expect((await client.query('limited', { query, limit })).points).toHaveLength(limit);
      await expect(client.query('limited', { query, limit: limit + 1 })).rejects.toMatchObject({
        status: 400,
      });
    }
    await client.deleteCollection('limited');
  });

  test('limits that cannot be read after a change are read with the next request', async () => {
    const bare = new QdrantClient({ url: server.url, checkCompatibility: false });
    const api: object = bare.api();
    const client = await servedAs('unread', bare);
    const own = (name: string): (() => Promise<unknown>) => Reflect.get(api, name) as () => Promise<unknown>;
    const [update, get] = [own('updateCollection'), own('getCollection')];
    let failures = 0;
    Reflect.set(api, 'updateCollection', async (...given: []) => {
      const answer = await update(...given);
      Reflect.set(api, 'getCollection', () => {
        failures++;
        return Promise.reject(new Error('no connection'));
      });
      return answer;
    });
    const exact = { query, limit: 10, params: { exact: true } };
    const strict = { enabled: true, search_allow_exact: false };
    expect(await client.updateCollection('unread', { strict_mode_config: strict })).toBe(true);
    expect((await client.query('unread', exact)).points).toHaveLength(10);
    expect(failures).toBe(2);
    Reflect.set(api, 'getCollection', get);
    await expect(client.query('unread', exact)).rejects.toMatchObject({ status: 400 });
    await client.deleteCollection('unread');
  });

  test('the given client stays as it was, and a wrong encoder is refused', async () => {
    const client = new QdrantClient({ url: server.url, checkCompatibility: false });
    await withProjection(client, { collections: { docs: { target: 'docs_compact', encoder } } });
    await expect(client.query('docs', { query })).rejects.toMatchObject({ status: 404 });
    const network = randomProjection(base.cols, { dim: DIM, distance: 'cosine', seed: 1 });
    const other = new Encoder(network, encoder.metadata);
    await expect(
      withProjection(client, { collections: { docs: { target: 'docs_compact', encoder: other } } }),
    ).rejects.toMatchObject({ code: 'MISMATCH' });
  });

  test('options that make no sense are refused', async () => {
    const target = 'docs_compact';
    const wrong: readonly (readonly [object, string, string])[] = [
      [{ docs: { target } }, 'INVALID_ARGUMENT', '"docs" needs an encoder'],
      [{ docs: { target: 'nowhere', encoder } }, 'NOT_FOUND', 'there is no collection nowhere'],
      [{ a: { target, encoder }, b: { target, encoder } }, 'INVALID_ARGUMENT', '"a" and "b" are both served'],
      [{ docs: { target, encoder, vectorAnswers: 'full' } }, 'INVALID_ARGUMENT', 'vectorAnswers full'],
    ];
    for (const [collections, code, message] of wrong)
      await expect(
        withProjection(plain, { collections: collections as ProjectionOptions['collections'] }),
      ).rejects.toMatchObject({ code, message: expect.stringContaining(message) as unknown });
  });
});

/** Texts of the test, by number: "text 12" has the vector of row 12. */
const embeddings = (): Pick<Embeddings, 'embedQuery' | 'embedDocuments'> => {
  const one = (text: string): number[] => Array.from(row(base, Number(text.split(' ')[1]) % POINTS));
  return {
    embedQuery: (text) => Promise.resolve(one(text)),
    embedDocuments: (texts) => Promise.resolve(texts.map(one)),
  };
};

/** The store asks for one, although vectors are given to it. */
class RowEmbedding extends BaseEmbedding {
  constructor(readonly embed: (text: string) => Promise<number[]>) {
    super();
  }

  override getTextEmbedding(text: string): Promise<number[]> {
    return this.embed(text);
  }
}

describe.each(['two-stage', 'compact'] as const)('vector stores on a %s collection', (layout) => {
  test('LangChain finds, adds and removes documents', async () => {
    const client = await wrapped(`docs_${layout}`, { vectorAnswers: 'compact' });
    const langChain = await LangChainStore.fromExistingCollection(embeddings(), {
      client,
      collectionName: 'docs',
    });
    const found = await langChain.similaritySearch('text 5', 3);
    expect(found[0]?.pageContent).toBe('text 5');
    const id = 'c56a4180-65aa-42ec-a945-5fd21dec0538';
    await langChain.addDocuments([new Document({ pageContent: 'text 9', id, metadata: { added: true } })]);
    const both = await langChain.similaritySearch('text 9', 2);
    expect(both.map(({ pageContent }) => pageContent)).toEqual(['text 9', 'text 9']);
    const varied = await langChain.maxMarginalRelevanceSearch('text 5', { k: 3, fetchK: 20 });
    expect(varied).toHaveLength(3);
    await langChain.delete({ ids: [id] });
    expect(await client.count('docs', { exact: true })).toEqual({ count: POINTS });
  });

  test('LlamaIndex finds, adds and removes nodes', async () => {
    const client = await wrapped(`docs_${layout}`);
    const llama = new LlamaStore({
      client,
      collectionName: 'docs',
      embeddingModel: new RowEmbedding(embeddings().embedQuery),
    });
    const embedding = Array.from(row(base, 11)).map((x, i) => x + (i === 0 ? 0.2 : 0));
    const node = new TextNode({ id_: '7d444840-9dc0-11d1-b245-5ffdce74fad2', text: 'added', embedding });
    await llama.add([node]);
    const { ids, similarities } = await llama.query({
      queryEmbedding: embedding,
      similarityTopK: 1,
      mode: VectorStoreQueryMode.DEFAULT,
    });
    expect(ids).toEqual([node.id_]);
    expect(similarities[0]).toBeCloseTo(1, 2);
    await client.delete('docs', { points: [node.id_] });
    expect(await client.count('docs', { exact: true })).toEqual({ count: POINTS });
  });
});
