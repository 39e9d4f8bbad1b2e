import { stat, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { codeOf, messageOf, TldrError } from '../../core/errors.js';
import type { PointId } from '../../core/point-id.js';
import { turns } from '../../core/run-in-turn.js';
import { decodeEntries, encodeDone, encodeOwner, encodeTouched } from './journal-entries.js';
import {
  BLOCK_BYTES,
  BlockReader,
  FRAME_HEAD_BYTES,
  frameOf,
  framesOf,
  openJournal,
  readAt,
  type Place,
} from './journal-frames.js';
import { checkNotMissing, LOST_WITH_IT, lostError, unusable, whyExpected } from './journal-missing.js';
import { reportPath } from './proxy-state-files.js';
import { lockFile } from '../state/lock.js';
import { checkOwnFolder, makeOwnFolder } from './private-folder.js';
import { removeLeftovers, swapFile, syncFolder } from '../state/replace-file.js';

const NAME = 'writes.journal';
const MAGIC = Buffer.from('TLDRJ01\n');
/** Most ids of one entry. A write of more points has several entries. */
export const ENTRY_IDS_MAX = 4096;
/** A file larger than this is rewritten if that at least halves it. */
const ROTATE_BYTES = 16 * 1024 ** 2;

export interface JournalOptions {
  /** Why there must be a journal, for errors: for example, the migration state names it. */
  readonly expectedBy?: string | null;
  /** Owner of the journal (`ownerOf`). Null keeps the owner as it is. */
  readonly owner?: string | null;
}

/** Entries that were opened, and when they are on disk. */
export interface Begun {
  readonly entries: readonly number[];
  readonly written: Promise<void>;
}

/** Bytes of an entry for the next frame, with its number if they open it. */
interface Buffered {
  readonly bytes: Buffer;
  readonly entry: number | null;
}

/**
 * Log of the points of clients' writes, on disk before the writes are made. An entry is open from then until
 * its points are known to be equal. A frame takes all entries that were requested while the previous frame
 * was written, so that they share one wait for the disk. Frames are written one after the other: only the
 * last one can be torn.
 */
export class WriteJournal {
  readonly #folder: string;
  /** For errors. */
  readonly #name: string;
  readonly #unlock: () => Promise<void>;
  readonly #open = new Map<number, Place>();
  #file: FileHandle;
  #sizeBytes: number;
  #openBytes = 0;
  #next = 1;
  #buffered: Buffered[] = [];
  #nextFrame: Promise<void> | null = null;
  /** Runs operations on the file one after the other. */
  readonly #alone = turns();
  #failed: TldrError | null = null;
  #owner: string | null = null;

  private constructor(folder: string, file: FileHandle, unlock: () => Promise<void>) {
    this.#folder = folder;
    this.#name = `the journal in ${folder}`;
    this.#file = file;
    this.#unlock = unlock;
    this.#sizeBytes = MAGIC.length;
  }

  /**
   * Opens the journal of a folder, a new one if there is none. Cuts off a last frame that a crash tore.
   * @throws ALREADY_EXISTS while another process has it open, INVALID_DATA when it is damaged, or a journal
   * that must exist is missing, empty or another migration's, INVALID_ARGUMENT when the folder is not usable
   */
  static async open(
    folder: string,
    { expectedBy = null, owner = null }: JournalOptions = {},
  ): Promise<WriteJournal> {
    const path = join(folder, NAME);
    const usable = async (): Promise<string | null> => {
      await checkOwnFolder(folder);
      const why = expectedBy ?? (await whyExpected(folder));
      await checkNotMissing(path, why, MAGIC.length);
      await makeOwnFolder(folder);
      return why;
    };
    const why = await usable().catch((cause: unknown) => {
      throw unusable(folder, cause);
    });
    const unlock = await lockFile(path);
    try {
      for (const written of [path, reportPath(folder)]) await removeLeftovers(written);
      const file = await openJournal(path);
      const journal = new WriteJournal(folder, file, unlock);
      await journal.#recover(path);
      if (owner !== null) await journal.#belongTo(owner, { path, why });
      return journal;
    } catch (cause) {
      await unlock();
      throw unusable(folder, cause);
    }
  }

  /** Returns the time of the last write to a folder's journal; null if there is none. Needs no lock. */
  static async writtenAt(folder: string): Promise<Date | null> {
    return stat(join(folder, NAME)).then(
      ({ mtime }) => mtime,
      () => null,
    );
  }

  /** Returns the open entries, the oldest first. */
  openEntries(): number[] {
    return [...this.#open.keys()];
  }

  /** Returns whether an entry is open. */
  isOpen(entry: number): boolean {
    return this.#open.has(entry);
  }

  get openCount(): number {
    return this.#open.size;
  }

  /** Number of the oldest open entry; null if none is open. */
  get oldestOpen(): number | null {
    for (const entry of this.#open.keys()) return entry;
    return null;
  }

  /** Number of the entry that was opened last, or 0. */
  get lastOpened(): number {
    return this.#next - 1;
  }

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  /**
   * Opens entries for points. Entry numbers are assigned synchronously, so that recovery does not treat them
   * as orphaned. `written` resolves when the entries are on disk, and rejects with UNAVAILABLE if that fails.
   * A repeated point is stored once.
   */
  begin(touched: readonly PointId[]): Begun {
    const ids = [...new Set(touched)];
    const entries: number[] = [];
    for (let start = 0; start < ids.length; start += ENTRY_IDS_MAX) {
      const entry = this.#next++;
      entries.push(entry);
      this.#buffered.push({ bytes: encodeTouched(entry, ids.slice(start, start + ENTRY_IDS_MAX)), entry });
    }
    return { entries, written: entries.length > 0 ? this.#flush() : Promise.resolve() };
  }

  /** Closes an entry. On disk only with the next write, because bringing points over twice does no harm. */
  done(entry: number): void {
    const place = this.#open.get(entry);
    if (place === undefined) return;
    this.#open.delete(entry);
    this.#openBytes -= place.length;
    this.#buffered.push({ bytes: encodeDone(entry), entry: null });
  }

  /** Returns the points of an open entry. @throws INVALID_ARGUMENT when it is not open */
  idsOf(entry: number): Promise<PointId[]> {
    return this.#alone(async () => {
      const place = this.#open.get(entry);
      if (place === undefined) throw new TldrError('INVALID_ARGUMENT', `journal entry ${entry} is not open`);
      const [found] = decodeEntries(await readAt(this.#file, place, this.#name));
      return found?.kind === 'touched' ? [...found.ids] : [];
    });
  }

  /**
   * Rewrites the file with the open entries only, if it is large and shrinks by half, or if it was removed.
   * @throws UNAVAILABLE when a restart would read another file; then the journal takes no more entries
   */
  async rotate(minBytes = ROTATE_BYTES): Promise<void> {
    await this.#alone(async () => {
      if (this.#failed !== null) return;
      const large = this.#sizeBytes >= minBytes && this.#openBytes * 2 <= this.#sizeBytes;
      const there = await this.#inPlace();
      if (there === 'another') throw this.#unwritten('another file was put in its place', true);
      if (large || there === 'none') await this.#rewrite();
    });
  }

  /** Writes what is not on disk yet, and releases the journal for other processes. */
  async close(): Promise<void> {
    try {
      if (this.#buffered.length > 0) await this.#flush();
    } finally {
      await this.#alone(() => Promise.resolve());
      await this.#file.close();
      await this.#unlock();
    }
  }

  /**
   * Records the owner. Every journal begins with it: a journal without owner and entries was cut short.
   */
  async #belongTo(
    owner: string,
    { path, why }: { readonly path: string; readonly why: string | null },
  ): Promise<void> {
    if (this.#owner === owner) return;
    if (why !== null && this.#owner !== null) throw lostError(path, `is for ${this.#owner}`, why);
    if (why !== null && this.#sizeBytes === MAGIC.length) throw lostError(path, 'holds nothing', why);
    this.#owner = owner;
    this.#buffered.push({ bytes: encodeOwner(owner), entry: null });
    await this.#flush();
  }

  /** Resolves when the buffer is on disk. Callers during the write of a frame share the next frame. */
  #flush(): Promise<void> {
    this.#nextFrame ??= this.#alone(() => {
      this.#nextFrame = null;
      const buffered = this.#buffered;
      this.#buffered = [];
      return this.#writeFrames(buffered);
    });
    return this.#nextFrame;
  }

  /** Writes the buffer in as many frames as needed. If one cannot be written, none of them counts. */
  async #writeFrames(buffered: readonly Buffered[]): Promise<void> {
    if (this.#failed !== null) throw this.#failed;
    let at = this.#sizeBytes;
    const opened: [number, Place][] = [];
    for (const frame of framesOf(buffered)) {
      await this.#writeFrame(Buffer.concat(frame.map(({ bytes }) => bytes)));
      at += FRAME_HEAD_BYTES;
      for (const { bytes, entry } of frame) {
        if (entry !== null) opened.push([entry, { at, length: bytes.length }]);
        at += bytes.length;
      }
    }
    for (const [entry, place] of opened) this.#keep(entry, place);
    this.#sizeBytes = at;
  }

  async #writeFrame(content: Buffer): Promise<void> {
    try {
      await this.#file.appendFile(frameOf(content));
    } catch (cause) {
      // Undone as if never tried, because a full disk may have room again later.
      const undone = await this.#file.truncate(this.#sizeBytes).then(
        () => true,
        () => false,
      );
      throw this.#unwritten(cause, !undone);
    }
    // After a failed sync, the content on disk is unknown, so nothing more is added.
    await this.#file.datasync().catch((cause: unknown) => {
      throw this.#unwritten(cause, true);
    });
  }

  #unwritten(cause: unknown, forGood: boolean): TldrError {
    const message = `${this.#name} cannot be written: ${messageOf(cause)}`;
    const error = new TldrError('UNAVAILABLE', message, { cause });
    if (forGood) this.#failed = error;
    return error;
  }

  #keep(entry: number, place: Place): void {
    this.#open.set(entry, place);
    this.#openBytes += place.length;
  }

  async #rewrite(): Promise<void> {
    const path = join(this.#folder, NAME);
    const places = new Map<number, Place>();
    let sizeBytes = 0;
    const write = async (to: FileHandle): Promise<void> => {
      const head = this.#owner === null ? MAGIC : Buffer.concat([MAGIC, frameOf(encodeOwner(this.#owner))]);
      await to.appendFile(head);
      sizeBytes += head.length;
      for await (const frame of this.#openInFrames()) {
        await to.appendFile(frameOf(Buffer.concat(frame.map(({ bytes }) => bytes))));
        sizeBytes += FRAME_HEAD_BYTES;
        for (const { entry, bytes } of frame) {
          places.set(entry, { at: sizeBytes, length: bytes.length });
          sizeBytes += bytes.length;
        }
      }
    };
    try {
      const { file, unsynced } = await swapFile(path, write);
      const old = this.#file;
      this.#file = file;
      this.#sizeBytes = sizeBytes;
      for (const [entry, place] of places) if (this.#open.has(entry)) this.#open.set(entry, place);
      await old.close().catch(() => undefined);
      if (unsynced !== null) throw this.#unwritten(unsynced, true);
    } catch (cause) {
      // Later entries must go to the file that a restart reads.
      const there = await this.#inPlace().catch(() => null);
      if (there !== 'own' && this.#failed === null) throw this.#unwritten(cause, true);
      throw cause;
    }
  }

  /** Yields the open entries in their order, in frames of about one block. */
  async *#openInFrames(): AsyncGenerator<readonly { entry: number; bytes: Buffer }[]> {
    const reader = new BlockReader(this.#file, this.#name);
    let frame: { entry: number; bytes: Buffer }[] = [];
    let frameBytes = 0;
    for (const [entry, place] of this.#open) {
      const bytes = await reader.bytesAt(place);
      frame.push({ entry, bytes });
      frameBytes += bytes.length;
      if (frameBytes < BLOCK_BYTES) continue;
      yield frame;
      [frame, frameBytes] = [[], 0];
    }
    if (frame.length > 0) yield frame;
  }

  /** Returns which file a restart would read. */
  async #inPlace(): Promise<'own' | 'another' | 'none'> {
    const own = await this.#file.stat();
    try {
      const there = await stat(join(this.#folder, NAME));
      return there.ino === own.ino && there.dev === own.dev ? 'own' : 'another';
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return 'none';
      throw error;
    }
  }

  /** Reads the file from its start, frame by frame. */
  async #recover(path: string): Promise<void> {
    const { size } = await this.#file.stat();
    if (size < MAGIC.length) {
      await this.#file.truncate(0);
      await this.#file.appendFile(MAGIC);
      await this.#file.datasync();
      await syncFolder(this.#folder);
      return;
    }
    const damaged = (at: number): TldrError =>
      new TldrError(
        'INVALID_DATA',
        `the journal ${path} is damaged at byte ${at} of ${size}: ${LOST_WITH_IT}`,
        { hint: 'restore-journal' },
      );
    const reader = new BlockReader(this.#file, this.#name);
    if (!(await reader.bytesAt({ at: 0, length: MAGIC.length })).equals(MAGIC)) throw damaged(0);
    let at = MAGIC.length;
    while (at < size) {
      const frame = await reader.frameAt(at, size);
      if (frame === 'torn') {
        await this.#file.truncate(at);
        await this.#file.datasync();
        break;
      }
      if (frame === 'damaged') throw damaged(at);
      this.#take(frame, at + FRAME_HEAD_BYTES);
      at += FRAME_HEAD_BYTES + frame.length;
    }
    this.#sizeBytes = at;
  }

  #take(content: Buffer, at: number): void {
    for (const found of decodeEntries(content)) {
      if (found.kind === 'owner') {
        this.#owner = found.owner;
        continue;
      }
      this.#next = Math.max(this.#next, found.entry + 1);
      if (found.kind === 'touched') this.#keep(found.entry, { at: at + found.start, length: found.length });
      else {
        this.#openBytes -= this.#open.get(found.entry)?.length ?? 0;
        this.#open.delete(found.entry);
      }
    }
  }
}
