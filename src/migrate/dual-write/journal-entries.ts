import { TldrError } from '../../core/errors.js';
import type { PointId } from '../../core/point-id.js';

const TOUCHED = 1;
const DONE = 2;
const OWNER = 3;
const NUMBER = 0;
const UUID = 1;
/** Bytes of the kind and the entry number. In a `touched` entry, the number of ids follows. */
const HEAD_BYTES = 9;
const COUNT_BYTES = 4;

/**
 * An entry of the journal. `touched`: the points of a write. `done`: the points of an entry are equal in
 * source and target. `owner`: the migration that the journal belongs to.
 */
export type JournalEntry =
  | {
      readonly kind: 'touched';
      readonly entry: number;
      readonly ids: readonly PointId[];
      /** Position in the decoded bytes. */
      readonly start: number;
      readonly length: number;
    }
  | { readonly kind: 'done'; readonly entry: number }
  | { readonly kind: 'owner'; readonly owner: string };

/**
 * Returns the entry of a write's points. An id takes a byte for its kind, and 8 (number) or 16 bytes (UUID).
 */
export function encodeTouched(entry: number, ids: readonly PointId[]): Buffer {
  const sizeBytes = ids.reduce(
    (sum, id) => sum + (typeof id === 'bigint' ? 9 : 17),
    HEAD_BYTES + COUNT_BYTES,
  );
  const out = Buffer.alloc(sizeBytes);
  let at = writeHead(out, TOUCHED, entry);
  at = out.writeUInt32LE(ids.length, at);
  for (const id of ids) {
    if (typeof id === 'bigint') at = out.writeBigUInt64LE(id, out.writeUInt8(NUMBER, at));
    else at = out.writeUInt8(UUID, at) + out.write(id.replaceAll('-', ''), at + 1, 'hex');
  }
  return out;
}

export function encodeDone(entry: number): Buffer {
  const out = Buffer.alloc(HEAD_BYTES);
  writeHead(out, DONE, entry);
  return out;
}

/** Returns the owner of a journal, as text for the journal and for errors. */
export function ownerOf({ source, target }: { readonly source: string; readonly target: string }): string {
  return `writes to ${JSON.stringify(source)} that are brought to ${JSON.stringify(target)}`;
}

/** Returns the entry that names the journal's owner. The last one in a file counts. */
export function encodeOwner(owner: string): Buffer {
  const text = Buffer.from(owner);
  const out = Buffer.alloc(HEAD_BYTES + COUNT_BYTES + text.length);
  const at = writeHead(out, OWNER, 0);
  text.copy(out, out.writeUInt32LE(text.length, at));
  return out;
}

function writeHead(out: Buffer, kind: number, entry: number): number {
  return out.writeBigUInt64LE(BigInt(entry), out.writeUInt8(kind, 0));
}

/** Yields the entries in their order. @throws INVALID_DATA for other bytes */
export function* decodeEntries(bytes: Buffer): Generator<JournalEntry> {
  let at = 0;
  const need = (count: number): void => {
    if (at + count > bytes.length) throw new TldrError('INVALID_DATA', 'a journal entry is cut short');
  };
  const take = (length: number): Buffer => {
    need(length);
    at += length;
    return bytes.subarray(at - length, at);
  };
  while (at < bytes.length) {
    const start = at;
    const head = take(HEAD_BYTES);
    const [kind, entry] = [head.readUInt8(0), Number(head.readBigUInt64LE(1))];
    if (kind === DONE) {
      yield { kind: 'done', entry };
      continue;
    }
    if (kind === OWNER) {
      yield { kind: 'owner', owner: take(take(COUNT_BYTES).readUInt32LE(0)).toString() };
      continue;
    }
    if (kind !== TOUCHED) throw new TldrError('INVALID_DATA', `a journal entry has the unknown kind ${kind}`);
    const ids: PointId[] = [];
    for (let left = take(COUNT_BYTES).readUInt32LE(0); left > 0; left--) {
      const of = take(1).readUInt8(0);
      if (of !== NUMBER && of !== UUID)
        throw new TldrError('INVALID_DATA', `an id in the journal has the unknown kind ${of}`);
      ids.push(of === NUMBER ? take(8).readBigUInt64LE(0) : uuidOf(take(16)));
    }
    yield { kind: 'touched', entry, ids, start, length: at - start };
  }
}

function uuidOf(bytes: Buffer): string {
  const hex = bytes.toString('hex');
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
}
