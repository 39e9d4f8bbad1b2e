import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { matrix, matrixFromRows, row, type Matrix } from '../../src/core/matrix.js';
import type { PointId } from '../../src/core/point-id.js';
import { comparePointIds } from '../../adapters/qdrant/points/point-id.js';
import { Rng } from '../../src/core/rng.js';
import { DATATYPES, QUANTIZATIONS } from '../../src/store/collection.js';
import type { CollectionSpec } from '../../src/store/collection.js';
import type { CollectionNames, CopyTarget } from '../../src/store/copy-target.js';
import type { PointBatch, ScanOptions } from '../../src/store/points.js';
import type { ScratchRequest, Storage, VectorStorage } from '../../src/store/storage.js';
import type { SourceChanges, Load, StoreKeys } from '../../src/store/vector-source.js';

/** A store with every facet. */
type WholeStore = CopyTarget & {
  readonly keys: Required<StoreKeys>;
  readonly storage: Storage;
  readonly changes: Pick<Required<SourceChanges>, 'versions'>;
  readonly load: Load;
  readonly names: Required<CollectionNames>;
};

export interface OpenedStore {
  readonly store: WholeStore;
  readonly cleanUp: () => Promise<void>;
  /** A new, empty collection of one vector. */
  readonly createCollection: (
    name: string,
    vector: { name: string; dim: number; distance: string },
  ) => Promise<void>;
}

const U64_MAX = 18446744073709551615n;
const UUIDS = ['00000000-0000-4000-8000-000000000001', 'ffffffff-ffff-4fff-bfff-fffffffffffe'];
const IDS: PointId[] = [0n, 1n, 2n ** 53n + 1n, 2n ** 63n, U64_MAX, ...UUIDS];
const PAYLOADS = [
  '{"a":1,"b":1.0,"c":-0.0}',
  '{"n":9007199254740993}',
  '{"s":"ü\\n\\"","l":[1,[2.5,null,true]],"o":{"x":{}}}',
  '{}',
];

/** The behaviour every adapter must show; run it with a fresh store per call. */
export function describeVectorStore(title: string, open: () => Promise<OpenedStore>): void {
  describe(`${title}: the store contract`, () => {
    let opened: OpenedStore;
    let store: WholeStore;
    beforeAll(async () => {
      opened = await open();
      ({ store } = opened);
    });
    afterAll(async () => opened.cleanUp());

    const all = (n: number): Uint8Array => new Uint8Array(n).fill(1);
    const restOf = (ids: readonly PointId[]): Uint8Array[] =>
      ids.map((_, i) => store.codec.pack(PAYLOADS[i % PAYLOADS.length]!));
    const random = (rows: number, cols: number): Matrix => {
      const rng = new Rng(rows + cols);
      const x = matrix(rows, cols);
      x.data.forEach((_, i) => (x.data[i] = rng.normal()));
      return x;
    };
    const scanAll = async (name: string, options: Partial<ScanOptions> = {}): Promise<PointBatch[]> => {
      const batches: PointBatch[] = [];
      for await (const batch of store.scan(name, { vectorName: '', ...options })) batches.push(batch);
      return batches;
    };
    const idsOf = (batches: readonly PointBatch[]): PointId[] => batches.flatMap(({ ids }) => [...ids]);
    /** A collection of `count` numbered points, and then the odd ids above. */
    const filled = async (name: string, count = 0): Promise<Matrix> => {
      await opened.createCollection(name, { name: '', dim: 6, distance: 'Euclid' });
      const ids = [...IDS, ...Array.from({ length: count }, (_, i) => BigInt(1000 + i))].sort(
        comparePointIds,
      );
      const x = random(ids.length, 6);
      await store.upsert(name, {
        ids,
        vectors: [{ name: '', matrix: x, has: all(ids.length) }],
        extra: restOf(ids),
      });
      return x;
    };

    test('gives back ids, vectors and payloads exactly, in id order', async () => {
      const x = await filled('round-trip');
      expect(await store.count('round-trip')).toBe(IDS.length);
      const [batch] = await scanAll('round-trip');
      expect(batch!.ids).toEqual(IDS);
      expect(batch!.vectors.data).toEqual(x.data);
      const canonical = (rest: Uint8Array): string => Buffer.from(store.codec.canonical(rest)).toString();
      expect(batch!.extra.map(canonical)).toEqual(restOf(IDS).map(canonical));
      expect(canonical(store.codec.pack('{"v":1}'))).not.toBe(canonical(store.codec.pack('{"v":1.0}')));
      expect(store.payloadJson(batch!.extra[1]!)).toBe('{"n":9007199254740993}');
    });

    test('scans from any id, existing or not, up to any id, in batches of the size asked for', async () => {
      await filled('ranges', 300);
      const sizes = (await scanAll('ranges', { batchSize: 50 })).map(({ ids }) => ids.length);
      expect(Math.max(...sizes)).toBeLessThanOrEqual(50);
      const from = async (start: PointId, end: PointId | null): Promise<PointId[]> =>
        idsOf(await scanAll('ranges', { range: { from: start, to: end }, batchSize: 7 }));
      expect(await from(1299n, null)).toEqual([1299n, ...IDS.slice(2)]);
      expect(await from(500n, 1003n)).toEqual([1000n, 1001n, 1002n]);
      expect(await from(U64_MAX, UUIDS[1]!)).toEqual([U64_MAX, UUIDS[0]]);
    });

    test('splits into ranges that are disjoint and together complete', async () => {
      await filled('split', 500);
      const ranges = await store.keys.split('split', { parts: 4 });
      expect(ranges.length).toBeGreaterThan(1);
      const parts: PointId[][] = [];
      for (const range of ranges) parts.push(idsOf(await scanAll('split', { range })));
      expect(parts.flat()).toEqual(idsOf(await scanAll('split')));
      expect(Math.max(...parts.map((ids) => ids.length))).toBeLessThan(507);
    });

    test('keeps points without the vector, and samples only those with it', async () => {
      await opened.createCollection('sparse-set', { name: '', dim: 3, distance: 'Dot' });
      const ids = Array.from({ length: 120 }, (_, i) => BigInt(i));
      const has = Uint8Array.from(ids, (_, i) => (i % 3 === 0 ? 0 : 1));
      const x = random(120, 3);
      await store.upsert('sparse-set', { ids, vectors: [{ name: '', matrix: x, has }], extra: restOf(ids) });
      const batches = await scanAll('sparse-set');
      expect(batches.flatMap(({ hasVector }) => [...hasVector])).toEqual([...has]);
      for (const size of [20, 80, 500]) {
        const sample = await store.sample('sparse-set', { vectorName: '', size });
        expect(new Set(sample.ids).size).toBe(Math.min(size, 80));
        sample.ids.forEach((id, i) => {
          expect(Number(id) % 3).not.toBe(0);
          expect(row(sample.vectors, i)).toEqual(row(x, Number(id)));
        });
      }
    });

    test('replaces whole points, removes and retrieves', async () => {
      const x = await filled('writes');
      const other = matrixFromRows([[9, 9, 9, 9, 9, 9]]);
      await store.upsert('writes', {
        ids: [77n, 1n],
        vectors: [{ name: '', matrix: matrixFromRows([[...other.data], [...other.data]]), has: all(2) }],
        extra: [store.codec.pack('{"new":true}'), store.codec.pack('{"new":true}')],
      });
      await store.remove('writes', [U64_MAX, UUIDS[0]!, 12345n]);
      const found = await store.retrieve('writes', [77n, 1n, 0n, U64_MAX, 4242n], { vectorName: '' });
      expect(found.ids).toEqual([0n, 1n, 77n]);
      expect([...found.vectors.data]).toEqual([...row(x, 0), ...other.data, ...other.data]);
      expect(store.payloadJson(found.extra[1]!)).toBe('{"new":true}');
      expect(await store.count('writes')).toBe(IDS.length - 1);
    });

    test.each(['Cosine', 'Dot', 'Euclid'])(
      'searches exactly by %s, in one stage and in two',
      async (distance) => {
        const name = `search-${distance}`;
        await opened.createCollection(`${name}-source`, { name: '', dim: 8, distance });
        const source = await store.describe(`${name}-source`);
        const target = store.deriveTarget(source, {
          name,
          layout: 'two-stage',
          vectorName: '',
          compactName: 'small',
          compactDim: 2,
          compactDistance: source.vectors[0]!.distance,
          metadata: {},
        });
        await store.create(target);
        const ids = Array.from({ length: 60 }, (_, i) => BigInt(i));
        const [full, small] = [random(60, 8), random(60, 2)];
        const columns = [
          { name: '', matrix: full, has: all(60) },
          { name: 'small', matrix: small, has: all(60) },
        ];
        await store.upsert(name, { ids, vectors: columns, extra: restOf(ids) });
        await store.finishBulkLoad(target);
        const query = { vectorName: '', vector: row(full, 5), limit: 4, exact: true, withPayload: true };
        const direct = await store.search(name, query);
        if (distance !== 'Dot') expect(direct[0]!.id).toBe(5n);
        expect(direct[0]!.payloadJson).toBeDefined();
        const prefetch = { vectorName: 'small', vector: row(small, 5), limit: 60 };
        expect((await store.search(name, { ...query, prefetch })).map(({ id }) => id)).toEqual(
          direct.map(({ id }) => id),
        );
        const few = await store.search(name, { ...query, prefetch: { ...prefetch, limit: 2 } });
        expect(few).toHaveLength(2);
        const [batch] = await scanAll(name);
        expect(store.codec.vector(batch!.extra[0]!, 'small', 2)).toHaveLength(2);
        expect(store.codec.vector(batch!.extra[0]!, 'none', 2)).toBeNull();
        expect(store.codec.floats(batch!.extra[0]!, 'small')).toEqual(
          store.codec.vector(batch!.extra[0]!, 'small', 2),
        );
        expect(store.codec.floats(batch!.extra[0]!, 'none')).toBeNull();
        const without = (options: { withoutVectors?: string[] }): number =>
          store.codec.canonical(batch!.extra[0]!, options).length;
        expect(without({ withoutVectors: ['small'] })).toBeLessThan(without({}));
      },
    );

    test('derives a compact target, creates it once and sees its differences', async () => {
      await filled('derive');
      const source = await store.describe('derive');
      const change = {
        name: 'derive-compact',
        layout: 'compact' as const,
        vectorName: '',
        compactName: '',
        compactDim: 2,
        compactDistance: 'euclid' as const,
        metadata: { tldr: '{"x":1}' },
      };
      const target = store.deriveTarget(source, change);
      await store.create(target);
      await store.finishBulkLoad(target);
      const actual: CollectionSpec = await store.describe('derive-compact');
      expect(actual.vectors).toEqual([{ ...source.vectors[0], dim: 2 }]);
      expect(JSON.parse(actual.metadata['tldr']!)).toEqual({ x: 1 });
      expect(store.differences(target, actual)).toEqual([]);
      expect(store.differences(source, actual)).not.toEqual([]);
      await expect(store.create(target)).rejects.toMatchObject({ code: 'ALREADY_EXISTS' });
      expect(() => store.deriveTarget(source, { ...change, vectorName: 'nope' })).toThrow(
        'no dense vector "nope"',
      );
      const memory = store.storage.estimate(source, 1000);
      expect(memory.vectorsRamBytes).toBe(1000 * 6 * 4);
      expect(store.storage.estimate(target, 1000).vectorsRamBytes).toBe(1000 * 2 * 4);
      await store.setMetadata('derive-compact', { more: '"y"' });
      // A store may have something of its own to remember.
      expect(Object.keys((await store.describe('derive-compact')).metadata).sort()).toEqual(
        [...Object.keys(target.metadata), 'more'].sort(),
      );
      expect(Object.keys(target.metadata)).toContain('tldr');
      // Still the collection that was begun, whatever else was added; what says otherwise of it is another.
      await store.create(target, { resume: true });
      await store.create({ ...target, metadata: { ...target.metadata, mine: '2' } }, { resume: true });
      for (const tldr of ['{"x":2}', '{"x":1,"y":2}', '{}'])
        await expect(
          store.create({ ...target, metadata: { ...target.metadata, tldr } }, { resume: true }),
        ).rejects.toMatchObject({ code: 'ALREADY_EXISTS' });
      for (const metadata of [{}, { more: '"z"' }, { more: '"y"', other: '1' }])
        await expect(store.create({ ...target, metadata }, { resume: true })).rejects.toMatchObject({
          code: 'ALREADY_EXISTS',
        });
      await store.create({ ...target, metadata: { more: '"y"' } }, { resume: true });
    });

    test('derives a target kept in another way, or says that it cannot', async () => {
      await opened.createCollection('kept', { name: '', dim: 8, distance: 'Cosine' });
      const source = await store.describe('kept');
      const able = store.capabilities;
      for (const [i, quantization] of QUANTIZATIONS.entries()) {
        for (const datatype of DATATYPES) {
          const name = `kept-${datatype}-${i}`;
          const change = {
            name,
            layout: 'two-stage' as const,
            vectorName: '',
            compactName: 'small',
            compactDim: 4,
            compactDistance: 'cosine' as const,
            metadata: {},
            datatype,
            quantization,
          };
          const can =
            datatype !== 'uint8' &&
            able.datatypes.includes(datatype) &&
            able.quantizations.includes(quantization);
          if (!can) {
            expect(() => store.deriveTarget(source, change)).toThrow(
              expect.objectContaining({ code: 'UNSUPPORTED' }),
            );
            continue;
          }
          const target = store.deriveTarget(source, change);
          await store.create(target);
          await store.finishBulkLoad(target);
          const actual = await store.describe(name);
          expect(store.differences(target, actual)).toEqual([]);
          expect(store.storage.of(actual, 'small')).toMatchObject({
            datatype,
            quantization,
            onDisk: quantization !== 'none',
            codesInMemory: true,
          });
          expect(store.storage.of(actual, '')).toMatchObject({ quantization: 'none' });
        }
      }
    });

    test('measures every way of keeping vectors in a scratch collection, and drops it', async () => {
      const [rows, dim] = [400, 32];
      await opened.createCollection('measured', { name: '', dim, distance: 'Cosine' });
      const source = await store.describe('measured');
      const able = store.capabilities;
      const scratchOf = (storages: readonly (VectorStorage | 'source')[]): ScratchRequest => ({
        name: 'scratch',
        vectorName: '',
        metadata: { mark: '{"x":1}' },
        vectors: storages.map((storage, i) => ({ name: `v${i}`, dim, distance: 'euclid', storage })),
      });
      const inMemory = { onDisk: false, indexed: true };
      for (const datatype of DATATYPES.filter((one) => !able.datatypes.includes(one))) {
        const storages = [{ datatype, quantization: 'none' as const, ...inMemory }];
        expect(() => store.storage.scratch(source, scratchOf(storages))).toThrow(
          expect.objectContaining({ code: 'UNSUPPORTED' }),
        );
      }
      const storages: (VectorStorage | 'source')[] = [
        'source',
        ...able.datatypes.map((datatype) => ({ datatype, quantization: 'none' as const, ...inMemory })),
        ...able.quantizations
          .filter((one) => one !== 'none')
          .map((quantization) => ({
            datatype: 'float32' as const,
            quantization,
            onDisk: true,
            indexed: true,
          })),
        { datatype: 'float32', quantization: 'none', onDisk: true, indexed: false },
      ];
      const scratch = store.storage.scratch(source, scratchOf(storages));
      await store.create(scratch);
      const x = random(rows, dim);
      x.data.forEach((value, i) => (x.data[i] = Math.round(value * 40 + 128)));
      const ids = Array.from({ length: rows }, (_, i) => BigInt(i));
      const vectors = storages.map((_, i) => ({ name: `v${i}`, matrix: x, has: all(rows) }));
      await store.upsert('scratch', { ids, vectors, extra: ids.map(() => store.codec.pack('{}')) });
      await store.finishBulkLoad(scratch);
      expect((await store.describe('scratch')).metadata).toEqual({ mark: '{"x":1}' });
      const bytes = new Map((await store.storage.measure('scratch')).map((one) => [one.name, one]));
      const componentBytes = { float32: 4, float16: 2, uint8: 1 };
      const codeBytes = { 'product-x8': dim / 2, 'product-x16': dim / 4, 'product-x32': dim / 8 };
      for (const [i, storage] of storages.entries()) {
        const { vectorBytes, codeBytes: codes } = bytes.get(`v${i}`)!;
        const { datatype, quantization } =
          storage === 'source' ? { datatype: 'float32' as const, quantization: 'none' } : storage;
        // Files are written in blocks of 4 kB.
        const expected = rows * dim * componentBytes[datatype];
        expect(vectorBytes).toBeGreaterThanOrEqual(expected);
        expect(vectorBytes).toBeLessThan(expected + 8192);
        const ofCode =
          quantization === 'none'
            ? 0
            : quantization === 'scalar'
              ? dim + 4
              : quantization === 'binary'
                ? 16
                : codeBytes[quantization as keyof typeof codeBytes];
        expect({ quantization, codes }).toEqual({ quantization, codes: rows * ofCode });
        const request = { vectorName: `v${i}`, vector: row(x, 7), limit: 3 };
        const quantized = { rescore: true, oversampling: 20 };
        const [first] = await store.search('scratch', { ...request, quantized });
        expect(first!.id).toBe(7n);
        const prefetch = { vectorName: `v${i}`, vector: row(x, 7), limit: 100, quantized };
        const [staged] = await store.search('scratch', { ...request, vectorName: 'v0', prefetch });
        expect(staged!.id).toBe(7n);
      }
      await store.storage.dropScratch('scratch');
      expect(await store.exists('scratch')).toBe(false);
      await store.storage.dropScratch('scratch');
    });

    test('tells its load, and how long a search takes', async () => {
      const x = await filled('busy');
      expect(await store.load.status('busy')).toMatchObject({ optimizing: false, failure: null });
      expect(store.load.rateLimitCount()).toBe(0);
      const took = await store.load.timeSearch('busy', { vectorName: '', vector: row(x, 0), limit: 3 });
      expect(took).toBeGreaterThan(0);
    });

    test('tells versions that change with every write, in id order', async () => {
      const x = await filled('versions', 300);
      const read = async (): Promise<Map<PointId, string>> => {
        const found = new Map<PointId, string>();
        for await (const { ids, versions } of (await store.changes.versions('versions')) ?? [])
          ids.forEach((id, i) => found.set(id, versions[i]!));
        return found;
      };
      const before = await read();
      expect([...before.keys()]).toEqual(idsOf(await scanAll('versions')));
      expect(await read()).toEqual(before);
      const column = { name: '', matrix: matrixFromRows([[...row(x, 0)]]), has: all(1) };
      await store.upsert('versions', { ids: [1005n], vectors: [column], extra: [store.codec.pack('{}')] });
      await store.remove('versions', [1007n]);
      const after = await read();
      expect(after.has(1007n)).toBe(false);
      const changed = [...after].filter(([id, version]) => before.get(id) !== version).map(([id]) => id);
      expect(changed).toEqual([1005n]);
    });

    test('switches names, lists and drops collections', async () => {
      await filled('named-a');
      await filled('named-b');
      await store.names.switch('pointer', 'named-a');
      await store.names.switch('pointer', 'named-b');
      expect((await store.names.all()).get('pointer')).toBe('named-b');
      expect(await store.exists('named-a')).toBe(true);
      await store.drop('named-a');
      expect(await store.exists('named-a')).toBe(false);
      expect(await store.listCollections()).toContain('named-b');
    });

    test('drops an alias, and lets a name lead elsewhere and back, where it can', async () => {
      await filled('seen-a');
      await filled('seen-b', 5);
      const [own, other] = [await store.count('seen-a'), await store.count('seen-b')];
      expect(own).not.toBe(other);
      await store.names.switch('passing-by', 'seen-a');
      await store.names.drop('passing-by');
      await store.names.drop('passing-by');
      expect((await store.names.all()).has('passing-by')).toBe(false);
      expect(await store.exists('seen-a')).toBe(true);
      expect(await store.names.over.refusal()).toBeNull();
      const before = await store.listCollections();
      await store.names.over.hide('seen-a', 'seen-b');
      expect(await store.count('seen-a')).toBe(other);
      expect([...(await store.names.all())].filter(([, to]) => to === 'seen-b')).toEqual([
        ['seen-a', 'seen-b'],
      ]);
      await store.names.drop('seen-a');
      expect(await store.count('seen-a')).toBe(own);
      await store.names.over.hide('seen-a', 'seen-b');
      await store.drop('seen-a');
      expect(await store.count('seen-a')).toBe(other);
      expect([...(await store.listCollections()), 'seen-a'].sort()).toEqual([...before].sort());
      await store.names.drop('seen-a');
    });

    test('says NOT_FOUND for what is missing and ABORTED when told to stop', async () => {
      await expect(store.describe('missing')).rejects.toMatchObject({ name: 'TldrError', code: 'NOT_FOUND' });
      await expect(scanAll('missing')).rejects.toMatchObject({ code: 'NOT_FOUND' });
      await filled('stopped', 100);
      await expect(scanAll('stopped', { vectorName: 'nope' })).rejects.toMatchObject({ code: 'NOT_FOUND' });
      await expect(scanAll('stopped', { signal: AbortSignal.abort() })).rejects.toMatchObject({
        code: 'ABORTED',
      });
    });
  });
}
