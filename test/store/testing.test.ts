import { describe, expect, test } from '@jest/globals';
import { openMemory } from '../../adapters/memory/index.js';
import { contractCases, type OptionalFacet } from '../../src/store/testing/index.js';
import type { CopyTarget } from '../../src/store/copy-target.js';

const FACETS: readonly OptionalFacet[] = [
  'keys.split',
  'storage',
  'changes.versions',
  'changes.waitForApplied',
  'load',
  'target',
  'names',
  'names.over',
];

/** Runs the contract on a store in memory with a fault. @returns the names of the cases that fail, and why */
async function failed(
  fault: (store: CopyTarget) => object,
  facets: readonly OptionalFacet[] = FACETS,
): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  const open = async (): ReturnType<Parameters<typeof contractCases>[0]['open']> => {
    const memory = openMemory();
    return Promise.resolve({
      store: { ...memory, ...fault(memory) },
      distances: ['euclid'],
      ids: (count) => Array.from({ length: count }, (_, i) => BigInt(i)),
      makeCollection: ({ name, vectorName, dim, distance }) =>
        memory.create({
          name,
          vectors: [{ name: vectorName, dim, distance, multivector: false, componentBytes: 4 }],
          otherVectors: [],
          partitions: [],
          metadata: {},
          native: '{}',
        }),
      measured: { codeBytes: () => 0, overheadBytesMax: 0 },
      cleanUp: () => memory.close(),
    });
  };
  for (const { name, run } of contractCases({ facets, open }))
    await run().catch((error: unknown) => found.set(name, String(error)));
  return found;
}

describe('the suite for authors of adapters', () => {
  const declared = 'has the facets that it promises, and no others';

  test('passes a store that keeps the contract', async () => {
    expect(await failed(() => ({}))).toEqual(new Map());
  });

  test('fails for a facet that it has no cases for', async () => {
    const unknown = await failed(() => ({ shards: { list: () => [] } }));
    expect([...unknown.keys()]).toEqual([declared]);
    expect(unknown.get(declared)).toContain('shards');
    const part = await failed(({ changes }) => ({ changes: { ...changes, journal: () => null } }));
    expect([...part.keys()]).toEqual([declared]);
    expect(part.get(declared)).toContain('changes.journal');
  });

  test('fails for a facet that is not promised, or promised and not there', async () => {
    const without = FACETS.filter((facet) => facet !== 'load');
    expect([...(await failed(() => ({}), without)).keys()]).toEqual([declared]);
    expect([...(await failed(() => ({ load: undefined }))).keys()]).toContain(declared);
  });

  test.each<[string, (store: CopyTarget) => object, string]>([
    [
      'an order of ids that is not the one of a scan',
      ({ keys }) => ({ keys: { ...keys, compare: (a: bigint, b: bigint) => keys.compare(b, a) } }),
      'orders ids as a scan does',
    ],
    [
      'ids that change as text',
      ({ keys }) => ({ keys: { ...keys, parse: (text: string) => BigInt(text) + 1n } }),
      'reads every id from the text that it writes',
    ],
    [
      'ranges that leave a gap',
      ({ keys }) => ({
        keys: {
          ...keys,
          split: () =>
            Promise.resolve([
              { from: null, to: 9n },
              { from: 10n, to: null },
            ]),
        },
      }),
      'splits into ranges that are disjoint and together complete',
    ],
    [
      'a payload that JavaScript has rounded',
      (store) => ({
        payloadJson: (extra: Uint8Array) => JSON.stringify(JSON.parse(store.payloadJson(extra))),
      }),
      'gives back ids, vectors and payloads exactly, in id order',
    ],
    [
      'a sample of points without the vector',
      (store) => ({
        sample: async (name: string, { vectorName, size }: { vectorName: string; size: number }) => {
          for await (const { ids, vectors } of store.scan(name, { vectorName, batchSize: size }))
            return { ids, vectors };
          return null;
        },
      }),
      'keeps points without the vector, and samples only those with it',
    ],
    [
      'a write that does nothing',
      () => ({ remove: () => Promise.resolve() }),
      'replaces whole points, removes and retrieves',
    ],
    [
      'versions that never change',
      ({ changes }) => ({
        changes: {
          ...changes,
          versions: async function* (name: string) {
            for await (const { ids } of (await changes?.versions?.(name)) ?? [])
              yield { ids, versions: ids.map(() => '1') };
          },
        },
      }),
      'tells versions that change with every write, in id order',
    ],
  ])('fails for %s', async (_, fault, name) => {
    expect([...(await failed(fault)).keys()]).toContain(name);
  });
});
