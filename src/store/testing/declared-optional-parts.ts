import assert from 'node:assert/strict';
import { isCopyTarget, type CopyTarget } from '../copy-target.js';
import { isInPlaceTarget, type InPlaceTarget } from '../in-place-target.js';
import type { VectorSource } from '../vector-source.js';
import type { OptionalFacet } from './contract.js';

type WholeTarget = Required<CopyTarget & InPlaceTarget>;
/** The properties of a store that hold several functions or values. */
type PartName = {
  [Name in keyof WholeTarget]: WholeTarget[Name] extends string | ((...given: never[]) => unknown)
    ? never
    : Name;
}[keyof WholeTarget];

/** What the suite has cases for. It does not compile while it lacks a part of the contract. */
const CHECKED: { readonly [Name in PartName]: Readonly<Record<keyof WholeTarget[Name], true>> } = {
  keys: { parse: true, format: true, compare: true, split: true },
  storage: { of: true, estimate: true, scratch: true, measure: true, dropScratch: true },
  changes: { versions: true, waitForApplied: true, matching: true },
  load: { status: true, limits: true, timeSearch: true, rateLimitCount: true },
  capabilities: { datatypes: true, quantizations: true },
  codec: { format: true, pack: true, canonical: true, withoutVector: true, floats: true, vector: true },
  names: { all: true, switch: true, drop: true, over: true },
  state: { endpoint: true, label: true, read: true, create: true, change: true, remove: true },
  inPlace: {
    plan: true,
    script: true,
    find: true,
    begin: true,
    resume: true,
    setThrottle: true,
    pause: true,
    planCutOver: true,
    planCompletion: true,
  },
};

const FOUND_IN: Readonly<Record<OptionalFacet, (store: VectorSource) => unknown>> = {
  'keys.split': ({ keys }) => keys.split,
  storage: ({ storage }) => storage,
  'changes.versions': ({ changes }) => changes?.versions,
  'changes.waitForApplied': ({ changes }) => changes?.waitForApplied,
  'changes.matching': ({ changes }) => changes?.matching,
  load: ({ load }) => load,
  target: (store) => (isCopyTarget(store) ? store : undefined),
  names: (store) => (isCopyTarget(store) ? store.names : undefined),
  'names.over': (store) => (isCopyTarget(store) ? store.names?.over : undefined),
  state: (store) => (isCopyTarget(store) ? store.state : undefined),
  'in-place': (store) => (isInPlaceTarget(store) ? store.inPlace : undefined),
};

/** Fails unless a store has exactly these facets, and the suite has cases for all that it has. */
export function checkDeclared(store: VectorSource, promised: readonly OptionalFacet[]): void {
  const found = Object.entries(FOUND_IN).flatMap(([facet, of]) => (of(store) === undefined ? [] : [facet]));
  assert.deepEqual(
    [...found].sort(),
    [...new Set(promised)].sort(),
    `the store has the facets ${found.join(', ') || 'of every store only'}, but the test promises ${promised.join(', ') || 'no others'}`,
  );
  assert.deepEqual(
    unchecked(store),
    [],
    'the suite has no cases for these. If they are not part of the contract, keep them in private fields (#name)',
  );
}

/** The facets of a store, and the parts of a facet, that the suite does not know. */
function unchecked(store: VectorSource): string[] {
  const checked = new Map<string, Readonly<Record<string, true>>>(Object.entries(CHECKED));
  return Object.entries(store).flatMap(([name, value]: [string, unknown]) => {
    if (typeof value !== 'object' || value === null) return [];
    const parts = checked.get(name);
    if (parts === undefined) return [name];
    // An object of a class may have fields of its own.
    if (Object.getPrototypeOf(value) !== Object.prototype) return [];
    return Object.keys(value)
      .filter((part) => !Object.hasOwn(parts, part))
      .map((part) => `${name}.${part}`);
  });
}
