import { afterAll, beforeAll, describe, expect } from '@jest/globals';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { QDRANT } from '../../../adapters/qdrant/adapter.js';
import { openQdrant, type QdrantStore } from '../../../adapters/qdrant/index.js';
import { kindsToTry } from '../../../src/cli/plan/default-kinds.js';
import type { TargetChange } from '../../../src/store/copy-target.js';
import { openCliPlace, type CliPlace } from '../../support/cli/cli-on-test-server.js';
import { COMPACT_DIM, DIM, fill } from '../../support/migrate/fixtures.js';
import { testsOn } from '../../support/server/test-server.js';

const test = await testsOn('configured');

/**
 * Answers as servers from 1.17 on give them, written after their descriptions: no such server runs here. They decide what
 * is asked of a server, and stand for no database.
 */
const ANSWERS: Readonly<Record<string, unknown>> = {
  '/collections': { result: { collections: [{ name: 'docs' }] }, status: 'ok', time: 0.1 },
  '/collections/docs': {
    result: {
      status: 'green',
      optimizer_status: 'ok',
      points_count: 10,
      indexed_vectors_count: 10,
      segments_count: 1,
      update_queue: { length: 7, deferred_points: 2 },
      config: {
        params: {
          vectors: {
            size: DIM,
            distance: 'Cosine',
            memory: 'pinned',
            quantization_config: { turbo: { bits: 'bits2', memory: 'pinned' } },
          },
          payload: { memory: 'cold' },
        },
        hnsw_config: { m: 16, memory: 'cached' },
        optimizer_config: { indexing_threshold: 20000, prevent_unoptimized: false },
      },
      payload_schema: {},
    },
    status: 'ok',
    time: 0.1,
  },
};

let place: CliPlace;
let version = '1.16.3';
const replaying: Server = createServer((request, response) => {
  const path = request.url ?? '';
  const answer = path === '/' ? { title: 'qdrant - vector search engine', version } : ANSWERS[path];
  response.writeHead(answer === undefined ? 404 : 200, { 'content-type': 'application/json' });
  response.end(JSON.stringify(answer ?? { status: { error: 'Not found' }, time: 0 }));
});

beforeAll(async () => {
  place = await openCliPlace('newer-versions');
  await new Promise<void>((listening) => replaying.listen(0, '127.0.0.1', listening));
  await place.rest('PUT', '/collections/docs', { vectors: { size: DIM, distance: 'Cosine' } });
  await fill(place.store, 'docs', 100);
});

afterAll(async () => {
  await new Promise((closed) => replaying.close(closed));
  await place.end();
});

/** A store on a server that says that it is of this version. */
async function storeOf(said: string): Promise<QdrantStore> {
  version = said;
  const { port } = replaying.address() as AddressInfo;
  return openQdrant({ url: `http://127.0.0.1:${port}`, grpcUrl: place.server.grpcUrl });
}

const changeTo = (change: Partial<TargetChange>): TargetChange => ({
  name: 'docs_t',
  layout: 'two-stage',
  vectorName: '',
  compactName: 'compact',
  compactDim: COMPACT_DIM,
  compactDistance: 'cosine',
  metadata: {},
  ...change,
});

describe('by recorded answers of newer versions', () => {
  test.each([
    ['1.17.1', false, false],
    ['1.18.2', true, false],
    ['1.19.0', true, true],
    ['1.20.1', true, true],
  ])('%s', async (said, hasCodes, hasVectors) => {
    const store = await storeOf(said);
    const spec = await store.describe('docs');
    const accepts = (change: Partial<TargetChange>): boolean => {
      try {
        store.deriveTarget(spec, changeTo(change));
        return true;
      } catch (error) {
        expect(error).toMatchObject({
          code: 'UNSUPPORTED',
          message: expect.stringContaining(`Qdrant ${said} cannot store vectors as turbo`) as unknown,
        });
        return false;
      }
    };
    expect(accepts({ quantization: 'turbo-2bit' })).toBe(hasCodes);
    expect(accepts({ datatype: 'turbo4' })).toBe(hasVectors);
    expect(store.storage.of(spec, '')).toMatchObject({
      quantization: 'turbo-2bit',
      onDisk: false,
      codesInMemory: true,
    });
    expect(await store.load.status('docs')).toMatchObject({ queuedUpdates: 7 });
    const named = kindsToTry(['float32', 'turbo-1bit', 'turbo4'], {
      store,
      scratch: 'server',
      local: QDRANT.local,
    });
    if (hasVectors) expect(await named).toHaveLength(3);
    else await expect(named).rejects.toMatchObject({ code: 'UNSUPPORTED' });
    // The packaged server, in which an embedded plan measures, is older than any of them.
    const embedded = { store, scratch: 'embedded', local: QDRANT.local } as const;
    expect(await kindsToTry(undefined, embedded)).not.toContain('turbo-2bit');
    await expect(kindsToTry(['turbo-2bit'], embedded)).rejects.toMatchObject({
      code: 'UNSUPPORTED',
      message: expect.stringContaining('1.16.3, in which --scratch embedded measures') as unknown,
    });
    await store.close();
  });
});

describe('by the packaged server', () => {
  test.each([
    ['plan', ['plan', 'docs', '--datatypes', 'float32,turbo4', '--yes']],
    ['an embedded plan', ['plan', 'docs', '--datatypes', 'turbo-2bit', '--scratch', 'embedded', '--yes']],
    [
      'a migration to turbo4',
      ['migrate', 'start', 'docs', 'docs_t', '--encoder', 'enc.onnx', '--layout', 'two-stage'].concat(
        '--datatype',
        'turbo4',
        '--yes',
      ),
    ],
    [
      'a migration to codes',
      [
        'migrate',
        'start',
        'docs',
        'docs_t',
        '--encoder',
        'enc.onnx',
        '--quantization',
        'turbo-4bit',
        '--yes',
      ],
    ],
  ])('%s is refused before anything is trained or written', async (_name, args) => {
    const result = await place.cli(...args, '--json');
    expect(result.code).not.toBe(0);
    expect(result.json()).toMatchObject({
      error: {
        code: 'UNSUPPORTED',
        message: expect.stringMatching(/cannot store vectors as turbo/) as unknown,
      },
    });
    expect(result.stderr).not.toContain('training');
    expect(await place.store.listCollections()).toEqual(['docs']);
  });
});
