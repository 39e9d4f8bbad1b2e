import { firstNonFiniteRow } from '../../../src/core/matrix.js';
import { overflowIn, overflowText } from '../../../src/store/vector-number-format.js';
import type { ServedCollection } from '../../../src/store/served.js';
import { keyDepth, PAYLOAD_DEPTH_MAX } from '../points/payload-depth.js';
import { EXACT_KEY } from '../store/clients-exact-search.js';
import { LIFTED_KEY } from '../store/lifted-limits.js';
import { serverVector, withClientVector, withClientVectors } from './hidden-vector.js';
import { QUANTIZATION_KEY } from '../store/source-quantization-record.js';
import { THRESHOLDS_KEY } from '../store/scaled-limits.js';
import { JOURNAL_KEY, METADATA_KEY, STATE_BACKEND_KEY } from '../../../src/store/target-description.js';

/**
 * Decides what happens to each part of a request to a served collection, for both transports. REST and gRPC
 * only parse and write, so that they cannot decide differently.
 */

/** A refusal: HTTP status and gRPC code of the same meaning, in the server's words where it has any. */
export class Refusal extends Error {
  constructor(
    readonly status: 400 | 404 | 409 | 501,
    message: string,
  ) {
    super(message);
  }

  /** INVALID_ARGUMENT, NOT_FOUND, ALREADY_EXISTS, UNIMPLEMENTED. */
  get grpcCode(): number {
    return { 400: 3, 404: 5, 409: 6, 501: 12 }[this.status];
  }
}

/** The vector that older calls look up if `lookup_from` names none. Queries look up the searched vector. */
export const LEGACY_LOOKUP_VECTOR = '';

const OWN_KEYS = [
  METADATA_KEY,
  STATE_BACKEND_KEY,
  JOURNAL_KEY,
  THRESHOLDS_KEY,
  QUANTIZATION_KEY,
  LIFTED_KEY,
  EXACT_KEY,
];

/** @throws Refusal when an update would change metadata that the proxy needs for serving */
export function refuseMetadata(key: string): void {
  if (OWN_KEYS.includes(key))
    throw new Refusal(
      400,
      `Bad request: metadata "${key}" says how a served collection is served and cannot be changed`,
    );
}

/**
 * Returns a warning as clients see it: with the full vector's name in place of the compact one's. Returns
 * null for a warning about the full vector, since the migration chose those settings.
 */
export function shownWarning(message: string, { layout, vector, compact }: ServedCollection): string | null {
  if (layout === 'compact') return message;
  const [head, tail] = [`option for vector '`, `' `];
  if (message.includes(`${head}${vector}${tail}`)) return null;
  return message.replace(`${head}${compact}${tail}`, () => `${head}${vector}${tail}`);
}

/** The numbers of a collection that say how much of it is indexed. */
export interface IndexedCounts {
  readonly indexed: number;
  readonly points: number;
  /** The numbers of its dense and of its sparse vectors. */
  readonly dense: number;
  readonly sparse: number;
}

/**
 * Returns the number of indexed vectors without the hidden one, for the server counts over all vectors. Sparse
 * vectors always have an index. The dense vectors are counted in the same segments, as far as indexing has
 * come, so the hidden one has an equal share, at most the number of points.
 */
export function shownIndexed({ indexed, points, dense, sparse }: IndexedCounts): number {
  const hidden = Math.round(Math.max(0, indexed - sparse * points) / dense);
  return indexed - Math.min(hidden, points);
}

function unknownVector(name: string): Refusal {
  return new Refusal(400, `Wrong input: Not existing vector name error: ${name}`);
}

/**
 * Refuses to create or delete the vectors that the encoder uses. The hidden one does not exist for clients, so
 * its refusal is the server's own for an unknown name.
 */
export function refuseServedVector(vector: string, served: ServedCollection): void {
  if (vector === served.vector)
    throw new Refusal(
      400,
      `Bad request: vector "${vector}" is served in a reduced space and cannot be changed`,
    );
  if (vector === served.compact) throw unknownVector(vector);
}

/** @throws Refusal when a vector has another dimension, or values that are not finite; in the server's words */
export function checkDim(values: Float32Array, served: ServedCollection): void {
  if (values.length !== served.inputDim)
    throw new Refusal(
      400,
      `Wrong input: Vector dimension error: expected dim: ${served.inputDim}, got ${values.length}`,
    );
  if (firstNonFiniteRow({ rows: 1, cols: values.length, data: values }) !== -1)
    throw notFinite(served.vector);
}

export function notFinite(vector: string): Refusal {
  return new Refusal(400, `Bad request: vector "${vector}" holds values that are not finite`);
}

/** @throws Refusal for a projected vector that the server could not store as finite numbers */
export function checkCompact(
  values: Float32Array,
  { vector, componentBytes }: Pick<ServedCollection, 'vector' | 'componentBytes'>,
): void {
  if (firstNonFiniteRow({ rows: 1, cols: values.length, data: values }) !== -1)
    throw new Refusal(400, `Bad request: vector "${vector}" projects to values that are not finite`);
  const overflow = overflowIn(values, componentBytes);
  if (overflow !== undefined)
    throw new Refusal(
      400,
      `Bad request: vector "${vector}" ${overflowText(overflow)}: smaller values fit, or a target with the datatype float32`,
    );
}

/** Returns the server's refusal of a vector of another kind than the collection holds. */
export function notDense(kind: 'sparse' | 'multi'): Refusal {
  return new Refusal(400, `Wrong input: Conversion between ${kind} and regular vectors failed`);
}

/** Returns the server's refusal of several vectors in place of one. It checks their sizes first. */
export function notSingle(rows: readonly Float32Array[], served: ServedCollection): Refusal {
  for (const values of rows) checkDim(values, served);
  return notDense('multi');
}

export function inferenceRefused(served: ServedCollection): Refusal {
  return new Refusal(
    400,
    `Bad request: inference objects are not supported on reduced vector "${served.vector}"`,
  );
}

/** Returns the refusal of an unknown form in the place of a vector, which is never forwarded. */
export function unknownForm(where: string): Refusal {
  return new Refusal(400, `Bad request: ${where}: this form of a vector is not understood`);
}

/** The new value of `with_vector`: unchanged, or a list of names. */
export type VectorSelection = 'keep' | { readonly names: readonly string[] };

/**
 * @param asked the client's selection: true for all vectors, false for none, or names
 * @throws Refusal when the client asks for full vectors that are not stored
 */
export function treatWithVector(
  asked: boolean | readonly string[],
  served: ServedCollection,
): VectorSelection {
  if (asked === false) return 'keep';
  const names = asked === true ? served.visibleVectors : asked.map((name) => serverVector(name, served));
  if (served.layout === 'compact' && names.includes(served.vector) && served.vectorAnswers === 'refuse')
    throw fullNotStored(served);
  const isChanged =
    asked === true ? served.layout === 'two-stage' : names.some((name, i) => name !== asked[i]);
  return isChanged ? { names } : 'keep';
}

/** Returns the refusal of a request for full vectors of a collection in the compact layout. */
export function fullNotStored({ vector, inputDim, outputDim, projector }: ServedCollection): Refusal {
  return new Refusal(
    400,
    `Bad request: full vectors of "${vector}" are not stored (reduced ${inputDim} -> ${outputDim} by encoder ${projector.fingerprint.slice(0, 16)}): ask for points without it`,
  );
}

/** Returns the served collection that a name leads to; null for none. */
export function findServed(name: string, collections: readonly ServedCollection[]): ServedCollection | null {
  return collections.find(({ names }) => names.includes(name)) ?? null;
}

/** Returns the name by which clients know a collection: their name of a target, or its own. */
export function clientName(collection: string, collections: readonly ServedCollection[]): string {
  return collections.find(({ target }) => target === collection)?.names[0] ?? collection;
}

/** Returns whether a name is that of a target that clients know by another name. */
export function isHiddenTarget(name: string, collections: readonly ServedCollection[]): boolean {
  return collections.some(({ names, target }) => target === name && !names.includes(name));
}

/** @throws Refusal for the name of a target that clients know by another name */
export function refuseTarget(name: string, collections: readonly ServedCollection[]): void {
  if (isHiddenTarget(name, collections))
    throw new Refusal(404, `Not found: Collection \`${name}\` doesn't exist!`);
}

/**
 * Returns what becomes of a deletion of a served collection. `pass`: by an alias, the server deletes nothing
 * and says so. `check`: the target has another name, and the deletion must not uncover another collection.
 */
export function treatDeletion(name: string, { names, target }: ServedCollection): 'pass' | 'check' | 'send' {
  if (name !== names[0]) return 'pass';
  return name === target ? 'send' : 'check';
}

/**
 * Checks that a deletion uncovers no other collection with the clients' name, such as the source. Clients
 * would reach that collection after the deletion, and delete it with a second one.
 * @param standing names of all collections and all aliases
 * @throws Refusal
 */
export function refuseUncovering(
  name: string,
  { target }: ServedCollection,
  standing: { readonly collections: readonly string[]; readonly aliases: ReadonlyMap<string, string> },
): void {
  const behind = standing.collections.includes(name) ? name : standing.aliases.get(name);
  if (behind === undefined || behind === target) return;
  throw new Refusal(
    400,
    `Bad request: \`${name}\` is served from \`${target}\` and cannot be deleted here while \`${behind}\` stands under its name: clients would find that instead; delete it at the server first`,
  );
}

/** Returns the server's refusal to create a collection that exists. */
export function existing(name: string): Refusal {
  return new Refusal(409, `Wrong input: Collection \`${name}\` already exists!`);
}

/**
 * Returns the served collection whose points are looked up; null for any other collection.
 * @throws Refusal for the name of a target that clients know by another name
 */
export function lookedUp(name: string, collections: readonly ServedCollection[]): ServedCollection | null {
  const served = findServed(name, collections);
  if (served === null && isHiddenTarget(name, collections))
    throw new Refusal(404, `Not found: Collection ${name} not found`);
  return served;
}

/** The place of looked up vectors, by the server's names. */
export interface LookupPlace {
  readonly collection: string;
  readonly vector: string;
  /** The served collection; null for any other. */
  readonly served: ServedCollection | null;
  /** The served collection whose reduced vector this is; null for any other vector. */
  readonly reduced: ServedCollection | null;
}

/** Returns the place that a client names. @throws Refusal for the name of a target that clients know by another name */
export function lookupPlace(
  name: string,
  asked: string,
  collections: readonly ServedCollection[],
): LookupPlace {
  const served = lookedUp(name, collections);
  if (served === null) return { collection: name, vector: asked, served, reduced: null };
  const vector = serverVector(asked, served);
  return { collection: served.target, vector, served, reduced: vector === served.vector ? served : null };
}

/** Characters that no collection's name contains. */
const IMPOSSIBLE = ['<', '>', ':', '"', '/', '\\', '|', '?', '*', '\0', '\u001f'];
const NAME_LENGTH_MAX = 255;

/** Returns whether the server accepts a collection name of this length. */
export function isNameLength(name: string): boolean {
  return name !== '' && Array.from(name).length <= NAME_LENGTH_MAX;
}

/**
 * Refuses an impossible name as not found, as the server does in its own lookups. If the proxy requested such
 * a collection, the server would answer with another error.
 * @throws Refusal
 */
export function refuseImpossible(name: string): void {
  if (!isNameLength(name) || IMPOSSIBLE.some((character) => name.includes(character)))
    throw new Refusal(404, `Not found: Collection ${name} not found`);
}

/** Returns an error's text with the client's names of collection and vector in place of the target's. */
export function clientText(text: string, served: ServedCollection): string {
  const { names, target, compact, vector } = served;
  const [name = target] = names;
  // Functions as replacements, since users choose the names: `$` in a text would have a special meaning.
  const named = /^(Format|Deserialize|Validation) error/.test(text)
    ? text // It quotes keys of the request: a collection may be called `limit`, too.
    : text.replaceAll(`\`${target}\``, () => `\`${name}\``);
  const full = named.replaceAll(
    `Vector with name ${quoted(compact)}`,
    () => `Vector with name ${quoted(vector)}`,
  );
  return withClientVector(full, served);
}

/** Returns the text of a failed lookup as if the server had looked up itself. */
export function lookupText(text: string, collections: readonly ServedCollection[]): string {
  return withClientVectors(text, collections).replace(
    /^Not found: Collection `(.*)` doesn't exist!$/s,
    'Not found: Collection $1 not found',
  );
}

/** Returns a name as the server quotes it in an error. */
function quoted(name: string): string {
  return JSON.stringify(name);
}

/**
 * Checks a payload that is set under a key of points that are being migrated.
 * @throws Refusal when no request could write the payload to the target
 */
export function checkPayloadDepth(set: { readonly key: string; readonly payloadDepth: number }): void {
  const depth = keyDepth(set.key) + set.payloadDepth;
  if (depth > PAYLOAD_DEPTH_MAX)
    throw new Refusal(
      400,
      `Bad request: under this key the payload is nested ${depth} deep, but at most ${PAYLOAD_DEPTH_MAX} can be migrated: flatten the payload or shorten the key`,
    );
}
