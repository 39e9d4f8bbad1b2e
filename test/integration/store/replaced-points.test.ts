import { afterAll, beforeAll, expect } from '@jest/globals';
import { openQdrant, type QdrantStore } from '../../../adapters/qdrant/index.js';
import { withExactPayload } from '../../../adapters/qdrant/points/payload-and-other-vectors.js';
import { matrix } from '../../../src/core/matrix.js';
import type { VectorColumn } from '../../../src/store/points.js';
import { restText } from '../../support/server/rest-text.js';
import { startTestServer, testsOn, type TestServer } from '../../support/server/test-server.js';

const test = await testsOn('any');

const ROWS = 2_000;
const LARGE = '{"large":18446744073709551615}';
/** A payload that takes two requests: an integer and a double that are carried by one transport each. */
const PARTED = '{"large":18446744073709551615,"double":5e-324}';

let server: TestServer;
let store: QdrantStore;

const rest = (method: string, path: string, body?: string): Promise<string> =>
  restText(server, method, path, body);

beforeAll(async () => {
  server = await startTestServer();
  store = await openQdrant(server);
});

afterAll(async () => {
  await store.close();
  await server.stop();
});

/** Makes a collection whose points are all in an indexed segment, each with every vector and a payload. */
async function indexed(name: string, vectors: readonly string[], sparse: boolean): Promise<void> {
  const dense = Object.fromEntries(vectors.map((vector) => [vector, { size: 4, distance: 'Dot' }]));
  const settings = {
    vectors: vectors.join() === '' ? dense[''] : dense,
    ...(sparse && { sparse_vectors: { words: {} } }),
    optimizers_config: { default_segment_number: 1, indexing_threshold: 1 },
  };
  await rest('PUT', `/collections/${name}`, JSON.stringify(settings));
  const points = Array.from({ length: ROWS }, (_, id) => ({
    id,
    vector: {
      ...Object.fromEntries(vectors.map((vector) => [vector, [1, id, 2, 3]])),
      ...(sparse && { words: { indices: [1], values: [1] } }),
    },
    payload: { id, old: true },
  }));
  await rest('PUT', `/collections/${name}/points?wait=true`, JSON.stringify({ points }));
  for (;;) {
    const { result } = JSON.parse(await rest('GET', `/collections/${name}`)) as {
      result: { status: string; indexed_vectors_count: number };
    };
    if (result.status === 'green' && result.indexed_vectors_count >= ROWS) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

const column = (name: string, has: readonly number[]): VectorColumn => {
  const rows = matrix(has.length, 4);
  rows.data.fill(7);
  return { name, matrix: rows, has: Uint8Array.from(has) };
};

/** Points as the server gives them over REST, in the order of `ids`. */
async function read(name: string, ids: readonly number[]): Promise<string[]> {
  const body = JSON.stringify({ ids, with_vector: true, with_payload: true });
  const text = await rest('POST', `/collections/${name}/points`, body);
  return ids.map((id) => {
    const found = new RegExp(
      `\\{"id":${id},"payload":(\\{[^}]*\\}),"vector":(\\[[^\\]]*\\]|\\{.*?\\}\\}?)\\}[,\\]]`,
    );
    const [, payload, vector] = found.exec(text)!;
    const vectors = vector!.startsWith('[') ? ['', ''] : Object.keys(JSON.parse(vector!) as object).sort();
    return `${vectors.join()} ${payload}`;
  });
}

test('a point of an indexed collection is replaced whole: no vector and no payload of before stays', async () => {
  await indexed('named', ['a', 'b'], true);
  // The server itself keeps them: otherwise this test would say nothing.
  await rest('PUT', '/collections/named/points?wait=true', '{"points":[{"id":9,"vector":{"a":[7,7,7,7]}}]}');
  expect(await read('named', [9])).toEqual(['a,b,words {"id":9,"old":true}']);
  const { pack } = store.codec;
  const ids = [1n, 2n, 3n, 4n, 5n, 6n, 8n];
  // The last one was read as an integer that only REST carries, and then as empty.
  const emptied = withExactPayload(pack('{}'), '{}');
  const extra = [...['{}', '{"new":1}', '{}', LARGE, PARTED, '{}'].map(pack), emptied];
  await store.upsert('named', {
    ids,
    vectors: [column('a', [1, 0, 0, 1, 0, 1, 1]), column('b', [0, 1, 0, 0, 1, 1, 1])],
    extra,
  });
  expect(await read('named', [1, 2, 3, 4, 5, 6, 7, 8])).toEqual([
    'a {}',
    'b {"new":1}',
    ' {}',
    `a ${LARGE}`,
    `b ${PARTED}`,
    'a,b {}',
    'a,b,words {"id":7,"old":true}',
    'a,b {}',
  ]);
});

test('a point of an indexed collection loses its default vector', async () => {
  await indexed('plain', [''], false);
  const { pack } = store.codec;
  const empty = Array.from({ length: 2 }, () => pack('{}'));
  await store.upsert('plain', { ids: [1n, 2n], vectors: [column('', [0, 1])], extra: empty });
  expect(await read('plain', [1, 2])).toEqual([' {}', ', {}']);
});

test('a collection that was made anew is written with the vectors that it has now', async () => {
  await indexed('again', ['a', 'b'], false);
  const point = { ids: [1n], vectors: [column('a', [1])], extra: [store.codec.pack('{}')] };
  await store.upsert('again', point);
  await rest('DELETE', '/collections/again');
  await indexed('again', ['a', 'c'], true);
  await store.describe('again');
  await store.upsert('again', point);
  expect(await read('again', [1, 2])).toEqual(['a {}', 'a,c,words {"id":2,"old":true}']);
});
