import { TldrError } from '../../core/errors.js';
import type { PointId } from '../../core/point-id.js';

const TOUCHED = 1;
const DONE = 2;
const OWNER = 3;
const NUMBER = 0;
const UUID = 1;
/** Kind and entry number; of a touched one the number of its ids follows. */
const HEAD_BYTES = 9;
const COUNT_BYTES = 4;

/**
 * What stands in the journal: points that a write touches, that an entry's points are right, or whose writes the journal
 * is for.
 */
export type JournalEntry =
  | {
      readonly kind: 'touched';
      readonly entry: number;
      readonly ids: readonly PointId[];
      /** Where it stands in what was decoded. */
      readonly start: number;
      readonly length: number;
    }
  | { readonly kind: 'done'; readonly entry: number }
  | { readonly kind: 'owner'; readonly owner: string };

/** Points of a write: a byte for the kind of each id, then 8 bytes of a number or 16 of a UUID. */
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

/** What a journal is for, as it says itself and as errors do. */
export function ownerOf({ source, target }: { readonly source: string; readonly target: string }): string {
  return `writes to ${JSON.stringify(source)} that are brought to ${JSON.stringify(target)}`;
}

/** Which migration a journal is for, in words; the last one in a file counts. */
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

/** Entries in the order they stand. @throws INVALID_DATA for bytes that are none */
export function* decodeEntries(bytes: Buffer): Generator<JournalEntry> {
  let at = 0;
  const need = (count: number): void => {
    if (at + count > bytes.length) throw new TldrError('INVALID_DATA', 'a journal entry ends inside');
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
    if (kind !== TOUCHED) throw new TldrError('INVALID_DATA', `a journal entry of kind ${kind}`);
    const ids: PointId[] = [];
    for (let left = take(COUNT_BYTES).readUInt32LE(0); left > 0; left--) {
      const of = take(1).readUInt8(0);
      if (of !== NUMBER && of !== UUID) throw new TldrError('INVALID_DATA', `a journal id of kind ${of}`);
      ids.push(of === NUMBER ? take(8).readBigUInt64LE(0) : uuidOf(take(16)));
    }
    yield { kind: 'touched', entry, ids, start, length: at - start };
  }
}

function uuidOf(bytes: Buffer): string {
  const hex = bytes.toString('hex');
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
}
