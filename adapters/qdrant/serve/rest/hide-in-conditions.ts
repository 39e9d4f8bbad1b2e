import type { ServedCollection } from '../../../../src/store/served.js';
import { JsonError, scanJson, type JsonNode } from '../json/scan-body.js';
import { asciiJson, ByteEdits } from '../json/byte-edits.js';
import { vectorNames } from './vector-names-in-conditions.js';
import { absentVector } from '../hidden-vector.js';
import type { ApiOperation } from '../operations.js';
import { refuseExact } from '../stage-rules.js';

const BACKSLASH = 0x5c;

/** A body and its scanned nodes. */
export interface Scanned {
  readonly body: Uint8Array;
  readonly root: JsonNode;
}

/**
 * Returns a scanned body whose conditions on the hidden vector (`has_vector`) name a vector that no point
 * has, since for clients the hidden vector does not exist.
 * @throws JsonError
 */
export function scanShown(operation: ApiOperation, body: Uint8Array, served: ServedCollection): Scanned {
  const scanned = { body, root: scanJson(body) };
  return mayName(body, served) ? hiddenIn(operation, scanned, served) : scanned;
}

/**
 * Returns a body in which only such conditions are changed. A body that is no JSON stays unchanged.
 * @throws Refusal for an exact count when clients may not count exactly
 */
export function hideRestVector(
  operation: ApiOperation,
  body: Uint8Array,
  served: ServedCollection,
): Uint8Array {
  const counts = !served.allowsExact && (operation.kind === 'count' || operation.kind === 'facet');
  if (!counts && !mayName(body, served)) return body;
  try {
    const scanned = { body, root: scanJson(body) };
    if (counts) refuseExactCount(operation, scanned.root, served);
    return hiddenIn(operation, scanned, served).body;
  } catch (error) {
    if (error instanceof JsonError) return body;
    throw error;
  }
}

/**
 * Refuses an exact count, for a collection whose settings forbid exact search. The server itself answers a body
 * that is not a valid request.
 */
function refuseExactCount({ kind }: ApiOperation, root: JsonNode, served: ServedCollection): void {
  if (root.kind !== 'object') return;
  const [exact, again] = root.entries.filter(({ key }) => key === 'exact');
  if (again !== undefined) return;
  if (exact === undefined ? kind === 'count' : exact.value.kind === 'true') refuseExact(served);
}

function hiddenIn(operation: ApiOperation, scanned: Scanned, served: ServedCollection): Scanned {
  const source = new ByteEdits(scanned.body);
  const absent = asciiJson(absentVector(served));
  for (const name of vectorNames(operation, scanned))
    if (JSON.parse(source.read(name)) === served.compact) source.replace(name, absent);
  if (source.count === 0) return scanned;
  const body = source.apply();
  return { body, root: scanJson(body) };
}

/** Returns whether a body may contain the name. Few do, and the others are not parsed. */
function mayName(body: Uint8Array, { layout, compact }: ServedCollection): boolean {
  if (layout !== 'two-stage') return false;
  const bytes = Buffer.from(body.buffer, body.byteOffset, body.length);
  // A string with escapes could be the name.
  return bytes.includes(BACKSLASH) || bytes.includes(JSON.stringify(compact));
}
