import { afterAll, beforeAll, describe, expect } from '@jest/globals';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Encoder } from '../../../src/encoder/model.js';
import { COMPACT_DIM, DIM } from '../../support/migrate/fixtures.js';
import { decodeAnswer, encodeRequest, pathOf } from '../../support/wire/grpc-schemas.js';
import { ask, objectText, sorted } from '../../support/store/send-json-text.js';
import { openCliPlace, type CliPlace } from '../../support/cli/cli-on-test-server.js';
import { PlainGrpc } from '../../support/server/grpc-call.js';
import { endServing, startServe, type Serving } from '../../support/serve/serve-child.js';
import { testsOn } from '../../support/server/test-server.js';

const test = await testsOn('any');

const POINTS = 160;
/** Every name here is a key of some form of the server's, or of every JavaScript object. */
const DENSE = [
  'size',
  'params',
  'constructor',
  '__proto__',
  'indices',
  'values',
  'vector',
  'payload',
  'distance',
];
const MULTI = ['model', 'multivector_config', 'text'];
const SPARSE = ['lookup_from', 'hasOwnProperty', 'filter'];
/** Collection, vector that is reduced, and its compact name. */
const CASES: readonly (readonly [string, string, string])[] = [
  ['__proto__', 'size', 'toString'],
  ['constructor', '__proto__', 'object'],
];

let place: CliPlace;

function vector(seed: number): number[] {
  return Array.from({ length: DIM }, (_, i) => Math.sin(seed * 13.7 + i * i * 1.3) + Math.cos(i * seed));
}

function vectorsText(i: number): string {
  return objectText([
    ...DENSE.map((name, k) => [name, vector(i + k / 9)] as const),
    ...MULTI.map((name, k) => [name, [vector(i + k / 7 + 0.01), vector(1.7 * i + k / 5 + 0.02)]] as const),
    ...SPARSE.map((name) => [name, { indices: [1, i + 2], values: [0.5 + i / 1000, 1] }] as const),
  ]);
}

function pointText(i: number): string {
  const payload = `{"__proto__":"p${i % 7}","constructor":{"__proto__":{"a":${i}}},"size":${i},"vector":[1],"payload":{"filter":1}}`;
  return `{"id":${i + 1},"vector":${vectorsText(i)},"payload":${payload}}`;
}

async function fill(collection: string): Promise<void> {
  const one = { size: DIM, distance: 'Cosine' };
  const many = { ...one, multivector_config: { comparator: 'max_sim' } };
  const settings = objectText([
    [
      'vectors',
      objectText([
        ...DENSE.map((name) => [name, one] as const),
        ...MULTI.map((name) => [name, many] as const),
      ]),
    ],
    ['sparse_vectors', objectText(SPARSE.map((name) => [name, {}] as const))],
    ['metadata', '{"__proto__":{"a":1},"toString":"x","constructor":1}'],
  ]);
  const { url } = place.server;
  await ask(url, 'PUT', `/collections/${collection}`, settings);
  const points = Array.from({ length: POINTS }, (_, i) => pointText(i)).join();
  await ask(url, 'PUT', `/collections/${collection}/points?wait=true`, `{"points":[${points}]}`);
  for (const field of ['__proto__', 'constructor', 'size'])
    await ask(
      url,
      'PUT',
      `/collections/${collection}/index?wait=true`,
      JSON.stringify({ field_name: field, field_schema: field === 'size' ? 'integer' : 'keyword' }),
    );
}

beforeAll(async () => {
  place = await openCliPlace('names');
  for (const [collection] of CASES) await fill(collection);
});

afterAll(async () => {
  endServing();
  await place.end();
});

describe('names that are keys of a form, or of every object', () => {
  test.each(CASES)(
    'collection %s is inspected, and its vector %s migrated',
    async (collection, full, compact) => {
      const shown = await place.cli('inspect', collection, '--json');
      expect(shown).toMatchObject({ code: 0 });
      const names = shown.json()['vectors'] as { name: string }[];
      expect(names.map(({ name }) => name).sort()).toEqual([...DENSE, ...MULTI].sort());
      for (const [layout, ...more] of [['compact'], ['two-stage', '--compact-name', compact]] as const) {
        const target = `${collection}-${layout}`;
        const run = await place.cli(
          'migrate',
          'start',
          collection,
          target,
          '--vector',
          full,
          '--encoder',
          'enc.onnx',
          '--layout',
          layout,
          ...more,
          '--record',
          `${target}.json`,
          '--yes',
        );
        expect([run.code, run.stderr]).toEqual([0, expect.not.stringContaining('error')]);
        const info = await ask(place.server.url, 'GET', `/collections/${target}`, null);
        expect(info).toContain('"__proto__":{"a":1}');
      }
    },
  );
});

describe('learned from, with labels of the payload field __proto__', () => {
  const labels = [
    '--objective',
    'relevance',
    '--labels-field',
    '__proto__',
    '--deterministic',
    '--budget',
    '1s',
    '--sample',
    String(POINTS),
  ];

  test.each(['size', '__proto__'])('the vector %s', async (name) => {
    const run = await place.cli(
      'train',
      'constructor',
      '--vector',
      name,
      '--dim',
      String(COMPACT_DIM),
      ...labels,
      '--out',
      `${name}.onnx`,
      '--json',
    );
    expect([run.code, run.stderr]).toEqual([0, expect.not.stringContaining('error')]);
    expect(run.json()).toMatchObject({ objective: 'mAP@100' });
    const encoder = await Encoder.load(join(place.cwd, `${name}.onnx`));
    expect([encoder.inputDim, encoder.outputDim]).toEqual([DIM, COMPACT_DIM]);
  });

  test.each(['params', 'constructor'])('a plan for the vector %s', async (name) => {
    const few = ['--dims', String(COMPACT_DIM), '--datatypes', 'float32', '--oversampling', '1,10'];
    const target = ['--target', 'recall@10>=0.01'];
    const args = ['plan', '__proto__', '--vector', name, ...few, ...labels, ...target, '--json', '--yes'];
    const run = await place.cli(...args);
    expect([run.code, run.stderr]).toEqual([0, expect.not.stringContaining('error')]);
    const { encoders, commands } = run.json() as { encoders: object[]; commands: string[] };
    expect(encoders).toMatchObject([{ dim: COMPACT_DIM, objective: 'mAP@100' }]);
    expect(commands[0]).toContain('--labels-field __proto__');
  });
});

test.each([
  ['__proto__', 'size', 'compact'],
  ['constructor', '__proto__', 'two-stage'],
])(
  'collection %s, its vector %s migrated (%s), is evaluated and searched',
  async (collection, full, layout) => {
    const target = `${collection}-${layout}`;
    const encoder = ['--encoder', 'enc.onnx'];
    const evaluate = [
      'evaluate',
      collection,
      target,
      ...encoder,
      '--by',
      '__proto__',
      '--sample',
      '40',
      '--json',
    ];
    const judged = await place.cli(...evaluate);
    expect([judged.code, judged.stderr]).toEqual([0, expect.not.stringContaining('error')]);
    expect(judged.json()).toMatchObject({ queries: 40, strata: { field: '__proto__' } });
    const groups = (judged.json()['strata'] as { strata: { value: string }[] }).strata;
    for (const { value } of groups) expect(value).toMatch(/^p[0-6]$/);
    await writeFile(join(place.cwd, 'query.json'), JSON.stringify(vector(3.3)));
    const rescored = layout === 'two-stage' ? ['--rescore', String(POINTS)] : [];
    const args = ['search', target, ...encoder, '--query', 'query.json', '--exact', ...rescored, '--json'];
    const found = await place.cli(...args);
    expect([found.code, found.stderr]).toEqual([0, expect.not.stringContaining('error')]);
    const { results } = found.json() as { results: { id: string; payloadJson: string }[] };
    expect(results).toHaveLength(10);
    for (const { payloadJson } of results) expect(payloadJson).toMatch(/"__proto__":"p[0-6]"/);
    if (layout === 'compact') return;
    // Every point is a candidate, so that the results are those of the full vectors.
    const body = JSON.stringify({ query: vector(3.3), using: full, params: { exact: true }, limit: 10 });
    const direct = await ask(place.server.url, 'POST', `/collections/${collection}/points/query`, body);
    const { result } = JSON.parse(direct) as { result: { points: { id: number }[] } };
    expect(results.map(({ id }) => Number(id))).toEqual(result.points.map(({ id }) => id));
  },
);

describe('served', () => {
  let serving: Serving;
  let grpc: PlainGrpc;
  let plain: PlainGrpc;

  beforeAll(async () => {
    const at = JSON.stringify('127.0.0.1:0');
    const collections = objectText(
      CASES.map(([collection]) => [
        collection,
        { target: `${collection}-two-stage`, encoder: join(place.cwd, 'enc.onnx'), oversampling: POINTS },
      ]),
    );
    const { url, grpcUrl } = place.server;
    await writeFile(
      join(place.cwd, 'serve.json'),
      `{"url":"${url}","grpcUrl":"${grpcUrl}","listenRest":${at},"listenGrpc":${at},"listenOperations":${at},"collections":${collections}}`,
    );
    serving = await startServe(place.cwd, []);
    grpc = new PlainGrpc(serving.grpc.startsWith('http') ? serving.grpc : `http://${serving.grpc}`);
    plain = new PlainGrpc(grpcUrl);
  });

  afterAll(() => {
    grpc.close();
    plain.close();
  });

  test.each(CASES)('%s answers as the original does, vector by vector', async (collection) => {
    const both = async (method: string, below: string, body: string | null): Promise<void> => {
      const path = `/collections/${collection}${below}`;
      const [direct, served] = [
        await ask(place.server.url, method, path, body),
        await ask(serving.rest, method, path, body),
      ];
      expect(sorted(served)).toEqual(sorted(direct));
    };
    const fields = '"limit":7,"with_payload":true,"with_vector":true';
    for (const name of DENSE)
      await both(
        'POST',
        '/points/query',
        `{"query":${JSON.stringify(vector(3.3))},"using":"${name}",${fields}}`,
      );
    for (const name of MULTI)
      await both(
        'POST',
        '/points/query',
        `{"query":${JSON.stringify([vector(3.3)])},"using":"${name}",${fields}}`,
      );
    for (const name of SPARSE)
      await both(
        'POST',
        '/points/query',
        `{"query":{"indices":[1,9],"values":[1,2]},"using":"${name}",${fields}}`,
      );
    await both('POST', '/points/scroll', `{${fields}}`);
    await both(
      'POST',
      '/points',
      `{"ids":[1,2,3],"with_payload":true,"with_vector":${JSON.stringify(DENSE)}}`,
    );
    await both('GET', '/points/5', null);
    const filter = '"filter":{"must":[{"key":"__proto__","match":{"value":"p3"}}]}';
    await both(
      'POST',
      '/points/query',
      `{"query":${JSON.stringify(vector(3.3))},"using":"__proto__",${filter},${fields}}`,
    );
    for (const name of DENSE) {
      const query = { nearest: { dense: { data: vector(3.3) } } };
      const message = encodeRequest('Points/Query', {
        collectionName: collection,
        query,
        using: name,
        limit: '7',
      });
      const [direct, served] = [
        await plain.call({ path: pathOf('Points/Query'), message }),
        await grpc.call({ path: pathOf('Points/Query'), message }),
      ];
      expect([served.code, served.text]).toEqual([0, '']);
      const points = (bytes: Uint8Array): string =>
        JSON.stringify(decodeAnswer('Points/Query', bytes)).replace(/,"(time|version)":[^,}]*/g, '');
      expect(points(served.message)).toEqual(points(direct.message));
    }
  });

  test.each(CASES)(
    'a point written to %s through the proxy is whole, compact vector included',
    async (collection, full, compact) => {
      const path = `/collections/${collection}/points`;
      await ask(serving.rest, 'PUT', `${path}?wait=true`, `{"points":[${pointText(POINTS)}]}`);
      await ask(
        serving.rest,
        'PUT',
        `${path}/vectors?wait=true`,
        `{"points":[{"id":2,"vector":${vectorsText(50)}}]}`,
      );
      const target = `/collections/${collection}-two-stage/points`;
      const body = `{"ids":[2,${POINTS + 1}],"with_vector":true,"with_payload":true}`;
      const stored = await ask(place.server.url, 'POST', target, body);
      const { result } = JSON.parse(stored) as { result: { vector: object; payload: object }[] };
      for (const point of result) {
        expect(Object.keys(point.vector).sort()).toEqual([...DENSE, ...MULTI, ...SPARSE, compact].sort());
        expect(Object.hasOwn(point.vector, full)).toBe(true);
        expect(Object.hasOwn(point.payload, '__proto__')).toBe(true);
      }
      const seen = await ask(serving.rest, 'POST', path, body);
      expect(seen).not.toContain(`"${compact}":`);
    },
  );
});
