import { boundedName } from '../../../src/core/bounded-name.js';
import { TldrError } from '../../../src/core/errors.js';
import type { CollectionNames } from '../../../src/store/copy-target.js';
import {
  answeredList,
  answeredText,
  num,
  numberAt,
  objectAt,
  textAt,
  type Json,
  type JsonObject,
} from '../transport/json.js';
import { checkName } from '../transport/check-name.js';
import type { Rest } from '../transport/rest.js';
import { pathOf } from '../points/ids-over-rest.js';
import { UNLIMITED } from '../transport/strict-mode-limits.js';
import { NAME_BYTES_MAX } from '../transport/collection-names.js';

const ALIASES = '/collections/aliases';
/** Suffix of a temporary alias. */
const PASSING = '__tldr_passing';

/** Aliases, as names that can be switched. */
export function namesOf(rest: Rest): Required<CollectionNames> {
  return {
    all: () => readAliases(rest),
    switch: (alias, collection) => pointAlias(rest, alias, collection),
    drop: (alias) => removeAlias(rest, alias),
    over: {
      refusal: () => shadowingRefusal(rest),
      hide: (name, collection) => aliasOverCollection(rest, name, collection),
    },
  };
}

/** Returns all aliases of the server: alias to collection. */
async function readAliases(rest: Rest): Promise<ReadonlyMap<string, string>> {
  return aliasesIn(await rest.call('GET', '/aliases'));
}

/** Returns the aliases of an answer: alias to collection. @throws UNAVAILABLE when it holds none */
export function aliasesIn(json: Json): ReadonlyMap<string, string> {
  const of = 'aliases';
  return new Map(
    answeredList({ json, of }, 'aliases').map((alias) => [
      answeredText({ json: alias, of }, 'alias_name'),
      answeredText({ json: alias, of }, 'collection_name'),
    ]),
  );
}

/** Returns the names of all collections of the server. */
export async function collectionsOf(rest: Rest): Promise<string[]> {
  const answer = { json: await rest.call('GET', '/collections'), of: 'collections' };
  return answeredList(answer, 'collections').map((json) => answeredText({ ...answer, json }, 'name'));
}

/** Points an alias at a collection. A single `create_alias` moves an existing alias atomically. */
async function pointAlias(rest: Rest, alias: string, collection: string): Promise<void> {
  checkName('the alias', alias);
  await rest.call('POST', ALIASES, { actions: [createAction(alias, collection)] });
}

/** Removes an alias. For the server, removing a missing alias is a success. */
async function removeAlias(rest: Rest, alias: string): Promise<void> {
  await rest.call('POST', ALIASES, { actions: [{ delete_alias: { alias_name: alias } }] });
}

function createAction(alias: string, collection: string): JsonObject {
  return { create_alias: { alias_name: alias, collection_name: collection } };
}

/**
 * Returns why an alias cannot have the name of a collection on this server, or null. Peers of a cluster
 * resolve a name twice, so part of the reads and writes would reach the collection that the alias hides.
 */
async function shadowingRefusal(rest: Rest): Promise<string | null> {
  const cluster = await rest.call('GET', '/cluster');
  const peers = Object.keys(objectAt(cluster, 'peers')).length;
  if (textAt(cluster, 'status') !== 'enabled' || peers < 2) return null;
  return `this is a cluster of ${peers} peers, which resolve names twice: part of the searches and writes would reach the wrong collection`;
}

/**
 * Makes the name of an existing collection lead to another collection, in one request. It renames an alias:
 * the server does not check whether a collection has the new name, and it looks up aliases first. Since this
 * is undocumented, it is tried on two temporary collections before.
 * @throws UNSUPPORTED in a cluster, and when the server behaves differently
 */
async function aliasOverCollection(rest: Rest, name: string, collection: string): Promise<void> {
  const refusal = await shadowingRefusal(rest);
  if (refusal !== null) throw new TldrError('UNSUPPORTED', refusal);
  await tryShadowing(rest);
  await shadow(rest, name, collection);
}

async function shadow(rest: Rest, name: string, collection: string): Promise<void> {
  const passing = `${boundedName(name, NAME_BYTES_MAX - PASSING.length)}${PASSING}`;
  const found = await readAliases(rest);
  if (found.has(passing) && found.get(passing) !== collection)
    throw new TldrError('ALREADY_EXISTS', `the temporary alias "${passing}" exists already: remove it`);
  const rename = { rename_alias: { old_alias_name: passing, new_alias_name: name } };
  try {
    await rest.call('POST', ALIASES, { actions: [createAction(passing, collection), rename] });
  } catch (error) {
    // If the answer was lost and the request repeated, it may fail although the alias was renamed.
    const after = await readAliases(rest);
    if (after.get(passing) === collection) await removeAlias(rest, passing);
    if (after.get(name) !== collection) throw error;
  }
}

/**
 * Tries the alias on two temporary collections: set, removed, set again, and the hidden collection deleted.
 */
async function tryShadowing(rest: Rest): Promise<void> {
  const [hidden, shown] = [scratchName('hidden'), scratchName('shown')];
  try {
    for (const name of [hidden, shown])
      await rest.call('PUT', pathOf(name), { vectors: { size: num(1), distance: 'Dot' }, ...UNLIMITED });
    const point = { id: num(1), vector: [num(1)] };
    await rest.call('PUT', `${pathOf(hidden)}/points?wait=true`, { points: [point] });
    await shadow(rest, hidden, shown);
    await expectPoints(rest, hidden, 0);
    await removeAlias(rest, hidden);
    await expectPoints(rest, hidden, 1);
    await shadow(rest, hidden, shown);
    await rest.call('DELETE', pathOf(hidden));
    await expectPoints(rest, hidden, 0);
    if ((await readAliases(rest)).get(hidden) !== shown)
      throw strange('the alias was lost when the collection was deleted');
    if ((await collectionsOf(rest)).includes(hidden)) throw strange('the hidden one was not deleted');
  } finally {
    await removeAlias(rest, hidden);
    for (const name of [hidden, shown]) await rest.call('DELETE', pathOf(name));
  }
}

async function expectPoints(rest: Rest, name: string, expected: number): Promise<void> {
  const result = await rest.call('POST', `${pathOf(name)}/points/count`, { exact: true });
  const found = numberAt(result, 'count');
  if (found !== expected) throw strange(`${found ?? 'no'} points where ${expected} were expected`);
}

function strange(what: string): TldrError {
  return new TldrError(
    'UNSUPPORTED',
    `this server does not let a collection's name lead to another collection (tried on two temporary collections: ${what}): use an alias`,
  );
}

let scratches = 0;

function scratchName(role: string): string {
  return `tldr-shadow-test-${process.pid}-${process.hrtime.bigint()}-${scratches++}-${role}`;
}
