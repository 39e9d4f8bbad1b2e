import { CHANGES_CASES } from './changes-cases.js';
import { CODEC_CASES } from './codec-cases.js';
import type { Contract, ContractCase } from './contract.js';
import { checkDeclared } from './declared-optional-parts.js';
import { KEYS_CASES } from './keys-cases.js';
import { LOAD_CASES } from './busy-store-cases.js';
import { IN_PLACE_CASES } from './in-place-cases.js';
import { NAMES_CASES } from './names-cases.js';
import { ContractPlace, type CaseOf } from './fixtures.js';
import { SOURCE_CASES } from './source-cases.js';
import { STATE_CASES } from './state-cases.js';
import { STORAGE_CASES } from './storage-cases.js';
import { TARGET_CASES } from './target-cases.js';
import { WRITE_CASES } from './write-cases.js';

const CASES: readonly CaseOf[] = [
  ...SOURCE_CASES,
  ...KEYS_CASES,
  ...TARGET_CASES,
  ...WRITE_CASES,
  ...CODEC_CASES,
  ...STORAGE_CASES,
  ...CHANGES_CASES,
  ...LOAD_CASES,
  ...NAMES_CASES,
  ...STATE_CASES,
  ...IN_PLACE_CASES,
];

/**
 * Returns the cases of the contract for the facets that an adapter promises. One case fails if the store has
 * a facet that is not promised, lacks a promised one, or has one that no case checks.
 * @example
 * ```ts
 * import { test } from 'node:test';
 * import { openMemory } from 'qdrant-tldr/memory';
 * import { contractCases, type ContractStore } from 'qdrant-tldr/testing';
 *
 * const open = async (): Promise<ContractStore> => {
 *   const store = openMemory();
 *   return {
 *     store,
 *     distances: ['dot'],
 *     ids: (count) => Array.from({ length: count }, (_, i) => BigInt(i)),
 *     makeCollection: async ({ name, vectorName, dim, distance }) => {
 *       const vector = { name: vectorName, dim, distance, multivector: false, componentBytes: 4 };
 *       const spec = { name, vectors: [vector], otherVectors: [], partitions: [], metadata: {}, native: '{}' };
 *       await store.create(spec);
 *     },
 *     measured: { codeBytes: () => 0, overheadBytesMax: 0 },
 *     cleanUp: () => store.close(),
 *   };
 * };
 * const changes = ['changes.versions', 'changes.waitForApplied'] as const;
 * const facets = ['keys.split', 'storage', 'load', 'target', 'names', 'names.over', ...changes] as const;
 * for (const one of contractCases({ facets, open })) void test(`${one.facet}: ${one.name}`, one.run);
 * ```
 */
export function contractCases({ facets, open }: Contract): readonly ContractCase[] {
  const wanted = new Set<string>(['source', 'keys', ...facets]);
  const declared: CaseOf = {
    facet: 'source',
    name: 'has the facets that it promises, and no others',
    check: ({ store }) => {
      checkDeclared(store, facets);
      return Promise.resolve();
    },
  };
  return [declared, ...CASES.filter(({ facet }) => wanted.has(facet))].map(({ facet, name, check }) => ({
    facet,
    name,
    run: async () => {
      const opened = await open();
      try {
        await check(new ContractPlace(opened));
      } finally {
        await opened.cleanUp();
      }
    },
  }));
}
