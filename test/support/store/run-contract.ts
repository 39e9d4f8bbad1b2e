import { describe, test } from '@jest/globals';
import { contractCases } from '../../../src/store/testing/index.js';
import type { Contract } from '../../../src/store/testing/index.js';

/** Runs the cases of the contract for what an adapter promises. */
export function runContract(title: string, contract: Contract): void {
  describe(`${title}: the store contract`, () => {
    for (const { facet, name, run } of contractCases(contract)) test(`${facet}: ${name}`, run);
  });
}
