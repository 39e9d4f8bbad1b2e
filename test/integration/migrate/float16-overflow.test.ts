import { QdrantClient } from '@qdrant/js-client-rest';
import { afterAll, beforeAll, expect } from '@jest/globals';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { withProjection } from '../../../adapters/qdrant/client/with-projection.js';
import { Encoder } from '../../../src/encoder/model.js';
import { matrix } from '../../../src/core/matrix.js';
import { PointSync } from '../../../src/migrate/dual-write/point-sync.js';
import { encodeRequest, pathOf } from '../../support/wire/grpc-schemas.js';
import { COMPACT_DIM, DIM, tinyEncoder } from '../../support/migrate/fixtures.js';
import { openCliPlace, type CliPlace } from '../../support/cli/cli-on-test-server.js';
import { fetchOnce } from '../../support/server/fetch-once.js';
import { PlainGrpc } from '../../support/server/grpc-call.js';
import { endServing, startServe } from '../../support/serve/serve-child.js';
import { testsOn } from '../../support/server/test-server.js';

const test = await testsOn('any');
const POINTS = 120;
const BIG_ID = 9_007_199_254_740_993n;
/** Fits float16; projected to 16 x 20,000 / 2 = 160,000 it does not. */
const BIG = Array.from({ length: DIM }, () => 20_000);
const TOO_LARGE = /projects to 160000, but float16 holds at most 65,504/;

/** Every component of the output is half the sum of the input. */
function summing(): Encoder {
  const weight = matrix(DIM, COMPACT_DIM);
  weight.data.fill(0.5);
  const { metadata } = tinyEncoder(1, 'dot');
  const layers = [{ weight, bias: null, relu: false }];
  return new Encoder({ normalizeInput: false, layers, normalizeOutput: false }, metadata);
}

let place: CliPlace;
const encoder = summing();

beforeAll(async () => {
  place = await openCliPlace('float16');
  await encoder.save(join(place.cwd, 'sum.onnx'));
});

afterAll(async () => {
  endServing();
  await place.end();
});

const point = (id: bigint | number, vector: readonly number[]): string =>
  `{"id": ${id}, "vector": [${vector.join()}]}`;

const small = (i: number): number[] => Array.from({ length: DIM }, (_, j) => Math.sin(i * DIM + j));

async function write(url: string, collection: string, points: readonly string[]): Promise<Response> {
  return fetchOnce(`${url}/collections/${collection}/points?wait=true`, {
    method: 'PUT',
    headers: { 'content-type': 'application/json' },
    body: `{"points": [${points.join()}]}`,
  });
}

async function makeSource(name: string, { datatype = 'float16' } = {}): Promise<void> {
  await place.rest('PUT', `/collections/${name}`, { vectors: { size: DIM, distance: 'Dot', datatype } });
  const points = Array.from({ length: POINTS }, (_, i) => point(i, small(i)));
  expect((await write(place.server.url, name, points)).status).toBe(200);
}

async function writeBig(name: string): Promise<void> {
  expect((await write(place.server.url, name, [point(BIG_ID, BIG)])).status).toBe(200);
}

const start = (source: string, target: string, ...flags: string[]): ReturnType<CliPlace['cli']> =>
  place.cli('migrate', 'start', source, target, '--encoder', 'sum.onnx', '--yes', '--json', ...flags);

test.each([
  ['two-stage', []],
  ['compact', []],
  ['compact', ['--datatype', 'float16']],
])('a point too large for a float16 target is named during the copy (%s, %j)', async (layout, more) => {
  const [name, target] = [`copied-${layout}-${more.length}`, `target-${layout}-${more.length}`];
  await makeSource(name, { datatype: more.length > 0 ? 'float32' : 'float16' });
  await writeBig(name);
  const flags = ['--layout', layout];
  for (let run = 0; run < 2; run++) {
    const refused = await start(name, target, ...flags, ...more);
    expect(refused.code).toBe(3);
    const { message } = refused.json()['error'] as { message: string };
    expect(message).toMatch(TOO_LARGE);
    expect(message).toContain(`point ${BIG_ID} of ${name}`);
    expect(message).toContain('--datatype float32');
  }
  // The way out that the message names.
  expect((await place.cli('migrate', 'abort', name, target, '--execute', '--json')).code).toBe(0);
  const done = await start(name, target, ...flags, '--datatype', 'float32');
  expect(done.json()).toMatchObject({ verified: POINTS + 1 });
});

test.each(['compact', 'two-stage'])(
  'a point too large that arrives during catch-up is named (%s)',
  async (layout) => {
    const [name, target] = [`followed-${layout}`, `behind-${layout}`];
    const migrate = (command: string, ...more: string[]): ReturnType<CliPlace['cli']> =>
      place.cli('migrate', command, name, target, '--json', ...more);
    const cutOver = (...more: string[]): ReturnType<CliPlace['cli']> =>
      migrate(
        'cutover',
        '--alias',
        `searched-${layout}`,
        '--clients-project',
        '--catch-up',
        '--execute',
        ...more,
      );
    const expectNamed = (refused: Awaited<ReturnType<CliPlace['cli']>>): void => {
      const { message } = refused.json()['error'] as { message: string };
      expect(message).toMatch(TOO_LARGE);
      expect(message).toContain(`point ${BIG_ID} of ${name}`);
      expect(message).toContain('--datatype float32');
      expect(refused.code).toBe(3);
    };
    await makeSource(name);
    expect((await start(name, target, '--layout', layout, '--catch-up')).code).toBe(0);

    // Between the copy and the cut-over.
    await writeBig(name);
    for (let run = 0; run < 2; run++) expectNamed(await migrate('resume', '--catch-up', '--yes'));
    expectNamed(await cutOver());

    // After the passes that clients write during, shortly before the switch.
    const points = `/collections/${name}/points`;
    await place.rest('POST', `${points}/delete?wait=true`, `{"points": [${BIG_ID}]}`);
    await writeFile(join(place.cwd, 'big.json'), `{"points": [${point(BIG_ID, BIG)}]}`);
    await writeFile(
      join(place.cwd, 'write-big.mjs'),
      `import { readFileSync } from 'node:fs';
    const headers = { 'content-type': 'application/json' };
    const body = readFileSync('big.json');
    const answer = await fetch(process.argv[2] + '?wait=true', { method: 'PUT', headers, body });
    process.exit(answer.ok ? 0 : 1);`,
    );
    const write = `"${process.execPath}" write-big.mjs ${place.server.url}${points}`;
    expectNamed(await cutOver('--on', 'before-cutover', write));
    expect(JSON.parse(await place.text('/aliases'))).toMatchObject({ result: { aliases: [] } });

    // The way out that the message names.
    expect((await migrate('abort', '--execute')).code).toBe(0);
    const wider = ['--layout', layout, '--catch-up', '--datatype', 'float32'];
    expect((await start(name, target, ...wider)).code).toBe(0);
    expect((await cutOver()).code).toBe(0);
    await place.rest('POST', '/collections/aliases', {
      actions: [{ delete_alias: { alias_name: `searched-${layout}` } }],
    });
  },
);

test('repair, followed writes, clients of the proxy and of the wrapper meet the same limit', async () => {
  await makeSource('docs');
  expect((await start('docs', 'docs-small', '--layout', 'compact')).code).toBe(0);
  const served = { docs: { target: 'docs-small', encoder: 'sum.onnx' } };
  const at = '127.0.0.1:0';
  const { url, grpcUrl } = place.server;
  const config = { url, grpcUrl, listenRest: at, listenGrpc: at, listenOperations: at, collections: served };
  await writeFile(join(place.cwd, 'serve.json'), JSON.stringify(config));
  const serving = await startServe(place.cwd, []);

  const overRest = await write(serving.rest, 'docs', [point(7, small(3)), point(BIG_ID, BIG)]);
  expect([overRest.status, await overRest.text()]).toEqual([400, expect.stringMatching(TOO_LARGE)]);
  const grpc = new PlainGrpc(serving.grpc);
  const overGrpc = await grpc.call({
    path: pathOf('Points/Upsert'),
    message: encodeRequest('Points/Upsert', {
      collectionName: 'docs',
      wait: true,
      points: [{ id: { num: String(BIG_ID) }, vectors: { vector: { data: BIG } } }],
    }),
  });
  grpc.close();
  expect([overGrpc.code, overGrpc.text]).toEqual([3, expect.stringMatching(TOO_LARGE)]);
  const client = await withProjection(new QdrantClient({ url, checkCompatibility: false }), {
    collections: { docs: { target: 'docs-small', encoder } },
  });
  const wrapped = client.upsert('docs', { wait: true, points: [{ id: 5, vector: BIG }] });
  const failure: unknown = await wrapped.catch((error: unknown) => error);
  expect(JSON.stringify(failure) + String(failure)).toMatch(TOO_LARGE);
  serving.child.kill('SIGTERM');
  await serving.ended;

  await writeBig('docs');
  // A verified copy is verified again first, and repaired by the next run.
  expect((await start('docs', 'docs-small', '--layout', 'compact')).code).toBe(10);
  const repaired = await start('docs', 'docs-small', '--layout', 'compact');
  expect(repaired.code).toBe(3);
  expect(repaired.stdout).toMatch(TOO_LARGE);

  const warnings: string[] = [];
  const sync = new PointSync({
    source: place.store,
    target: place.store,
    encoder,
    leftOut: null,
    componentBytes: 2,
    partitions: [],
    identity: {
      sourceEndpoint: url,
      targetEndpoint: url,
      encoderFingerprint: encoder.fingerprint,
      sourceCollection: 'docs',
      targetCollection: 'docs-small',
      vectorName: '',
      compactName: '',
      layout: 'compact',
    },
    log: (_level, _message, fields) => warnings.push(JSON.stringify(fields)),
  });
  expect((await sync.sync([BIG_ID]))?.message).toMatch(TOO_LARGE);
  expect(await sync.sync([1n])).toBeNull();
  expect(sync.asideOf([BIG_ID, 1n])).toEqual([BIG_ID]);
  await sync.stop();
  await expect(sync.sync([BIG_ID])).rejects.toMatchObject({ code: 'ABORTED' });
  expect(() => sync.asideOf([BIG_ID])).toThrow('not brought to the target any more');
  expect(warnings.join()).toMatch(TOO_LARGE);
});

test('plan leaves a float16 variant out that cannot hold the projected values', async () => {
  await makeSource('planned', { datatype: 'float32' });
  const large = Array.from({ length: 3 * POINTS }, (_, i) =>
    point(
      i,
      small(i).map((value) => value * 5e4 + 1e4),
    ),
  );
  expect((await write(place.server.url, 'planned', large)).status).toBe(200);
  const flags = [
    '--dims',
    '4',
    '--datatypes',
    'float32,float16',
    '--budget',
    '1s',
    '--deterministic',
    '--yes',
    '--json',
  ];
  const planned = await place.cli('plan', 'planned', ...flags);
  expect(planned.code).toBe(0);
  const { rows, notes } = planned.json() as { rows: { datatype: string; dim: number }[]; notes: string[] };
  expect(notes.join()).toMatch(/not measured: 4 float16.*float16 holds at most 65,504/);
  expect(rows.filter(({ dim, datatype }) => dim === 4 && datatype === 'float16')).toEqual([]);
  expect(rows.some(({ dim, datatype }) => dim === 4 && datatype === 'float32')).toBe(true);
});
