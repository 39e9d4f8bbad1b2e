/**
 * Checks that an adapter keeps the contract, in any test runner.
 * @module qdrant-tldr/testing
 */
export { contractCases } from './contract-cases.js';
export type {
  Contract,
  ContractCase,
  ContractCollection,
  ContractFacet,
  ContractPoint,
  ContractStore,
  OptionalFacet,
} from './contract.js';
