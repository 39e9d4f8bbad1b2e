import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import { expectDefined, messageOf, TldrError } from '../../core/errors.js';
import type { StateStore, Fields } from '../../store/state-store.js';
import { sleep, type RunOptions } from '../../core/run-options.js';

/** Time between two renewals of a lease. */
const RENEW_MS = 2_000;
/** After this time without a renewal, another run may take the lease over. */
const SILENCE_MS_MAX = 15_000;
const WATCH_POLL_MS = 250;
/** The wait for a renewal is logged after this time: a running holder renews sooner. */
const TELL_AFTER_MS = 2 * RENEW_MS;
const WRITE_TRIES = 3;

/** Value in place of the holder's token while nobody holds the lease. */
const NOBODY = 'nobody';
const LEASE_NAMES = ['holder', 'beat', 'runner', 'since'];

/** Options of leases. */
export interface LeaseOptions extends Pick<RunOptions, 'signal' | 'log'> {
  readonly renewMs?: number | undefined;
  readonly silenceMsMax?: number | undefined;
}

/** A lease on an entry: only this run changes the entry, until another run takes it over. */
export interface Lease {
  /** Fires when another run has taken over. Its reason is the error to throw. */
  readonly signal: AbortSignal;
  /** The condition of changes by this run: its token still holds the entry. */
  readonly mine: Fields;
  /** Sets these values. @throws ALREADY_EXISTS when the lease is lost; then nothing was set */
  write(texts: Fields): Promise<void>;
  /** Ends the renewals. Resolves when none is under way. */
  stop(): Promise<void>;
  /** Releases the lease for other runs. */
  release(): Promise<void>;
}

type Found =
  { readonly state: 'gone' } | { readonly state: 'free' | 'alive' | 'silent'; readonly texts: Fields };

/**
 * Leases on entries of a store. A run that finds an entry held watches it for renewals, so that clocks of
 * machines are never compared. The store alone decides whether a lease is taken, written or released, by the
 * holder's token.
 */
export class Leases {
  readonly #store: StateStore;
  readonly #options: LeaseOptions;
  readonly #renewMs: number;
  readonly #silenceMsMax: number;
  /** Time without a renewal that this run has observed, by key. */
  readonly #silences = new Map<string, { readonly mark: string; atMs: number; seenMs: number }>();
  #told = false;

  constructor(store: StateStore, options: LeaseOptions) {
    this.#store = store;
    this.#options = options;
    this.#renewMs = options.renewMs ?? RENEW_MS;
    this.#silenceMsMax = options.silenceMsMax ?? SILENCE_MS_MAX;
  }

  /** Returns the run that holds and renews the lease, for people, or null. Waits until that is known. */
  async holder(key: string): Promise<string | null> {
    const found = await this.#watch(key);
    return found.state === 'alive' ? runnerOf(found.texts) : null;
  }

  /**
   * Takes the lease on an entry that nobody holds, or whose holder does not renew it. A missing entry is
   * created with `texts`.
   * @throws ALREADY_EXISTS while another run holds it
   */
  async take(key: string, texts: Fields): Promise<Lease> {
    const found = await this.#watch(key);
    if (found.state === 'alive') throw this.#refusal(key, found.texts);
    const [token, beat] = [randomUUID(), randomUUID()];
    const runner = `process ${process.pid} on ${hostname()}`;
    const own = { holder: token, beat, runner, since: new Date().toISOString() };
    if (found.state === 'gone') await this.#store.create(key, { ...texts, ...own });
    else await this.#store.change(key, own, this.#markOf(key, found.texts));
    const after = await this.#store.read(key, LEASE_NAMES);
    // Another run was faster, or the holder renewed its lease after all.
    if (after?.['holder'] !== token) throw this.#refusal(key, after);
    if (found.state === 'silent') this.#tellTakeOver(key, found.texts);
    return this.#keep(key, { token, beat });
  }

  #keep(key: string, { token, beat }: { readonly token: string; beat: string }): Lease {
    const mine = { holder: token };
    const lost = new AbortController();
    const writeOnce = async (texts: Fields): Promise<boolean> => {
      const next = randomUUID();
      // The last beat is part of the condition, so that a delayed request, already repeated, changes nothing.
      await this.#store.change(key, { ...texts, beat: next }, { ...mine, beat });
      const after = await this.#store.read(key, LEASE_NAMES);
      if (after?.['holder'] !== token) {
        if (!lost.signal.aborted) lost.abort(this.#loss(key, after));
        throw lost.signal.reason;
      }
      beat = expectDefined(after['beat'], 'the beat of an own lease');
      return beat === next;
    };
    const writeNext = async (texts: Fields): Promise<void> => {
      for (let tries = 0; tries < WRITE_TRIES; tries++) if (await writeOnce(texts)) return;
      throw new TldrError('UNAVAILABLE', `${this.#store.label(key)} could not be written`);
    };
    let last: Promise<void> = Promise.resolve();
    const write = (texts: Fields): Promise<void> =>
      (last = last.catch(() => undefined).then(() => writeNext(texts)));
    const stop = this.#beat(() => write({}), lost.signal);
    const release = (): Promise<void> => this.#store.change(key, { holder: NOBODY }, mine);
    return { signal: lost.signal, mine, write, stop, release };
  }

  /** Renews the lease until the returned function is called or the lease is lost. */
  #beat(give: () => Promise<void>, lost: AbortSignal): () => Promise<void> {
    const ended = new AbortController();
    let timer: NodeJS.Timeout | undefined;
    let renewing = Promise.resolve();
    const renew = async (): Promise<void> => {
      try {
        await give();
      } catch (error) {
        // The next renewal tries again; if another run has taken over meanwhile, the next write finds out.
        this.#options.log?.('debug', `the lease was not renewed: ${messageOf(error)}`);
      }
      wait();
    };
    const wait = (): void => {
      if (ended.signal.aborted || lost.aborted) return;
      timer = setTimeout(() => {
        renewing = renew();
      }, this.#renewMs);
      timer.unref();
    };
    wait();
    return async () => {
      ended.abort();
      clearTimeout(timer);
      await renewing;
    };
  }

  /**
   * Watches a held entry until its holder renews or releases it, or has not renewed it for too long. Only the
   * time between two close reads counts: while the server was unreachable, the holder could not renew.
   */
  async #watch(key: string): Promise<Found> {
    let first: string | undefined;
    for (;;) {
      const texts = await this.#store.read(key, LEASE_NAMES);
      if (texts === null) return { state: 'gone' };
      const { holder, beat } = this.#markOf(key, texts);
      if (holder === NOBODY) return { state: 'free', texts };
      const mark = `${holder} ${beat}`;
      first ??= mark;
      if (mark !== first) return { state: 'alive', texts };
      const seenMs = this.#silenceOf(key, mark);
      if (seenMs >= this.#silenceMsMax) return { state: 'silent', texts };
      if (seenMs >= TELL_AFTER_MS) this.#tellWait(key, texts);
      await sleep(WATCH_POLL_MS, this.#options.signal);
    }
  }

  #silenceOf(key: string, mark: string): number {
    const atMs = performance.now();
    const before = this.#silences.get(key);
    const seenMs =
      before?.mark === mark ? before.seenMs + Math.min(atMs - before.atMs, 2 * WATCH_POLL_MS) : 0;
    this.#silences.set(key, { mark, atMs, seenMs });
    return seenMs;
  }

  #tellWait(key: string, texts: Fields): void {
    if (this.#told) return;
    this.#told = true;
    const { label } = this.#words(key);
    this.#options.log?.(
      'warn',
      `${runnerOf(texts)} holds the lease on ${label}: waiting up to ${this.#words(key).silence} for it to renew it`,
    );
  }

  #tellTakeOver(key: string, texts: Fields): void {
    const { label, silence } = this.#words(key);
    this.#options.log?.(
      'warn',
      `takes ${label} over from ${runnerOf(texts)}, which held it since ${sinceOf(texts)} and did not renew its lease for ${silence}`,
    );
  }

  #refusal(key: string, texts: Fields | null): TldrError {
    const { label, silence } = this.#words(key);
    return new TldrError(
      'ALREADY_EXISTS',
      `another run (${runnerOf(texts)}, since ${sinceOf(texts)}) works on ${label}: stop it first; or, if it has died, try again ${silence} later`,
    );
  }

  #loss(key: string, texts: Fields | null): TldrError {
    const { label, silence } = this.#words(key);
    const holder = texts === null || texts['holder'] === NOBODY ? 'another run' : runnerOf(texts);
    const what =
      texts === null
        ? `${label} no longer exists: the migration was aborted, or its state removed`
        : `${holder} took ${label} over because this run had not renewed its lease for ${silence}`;
    return new TldrError('ALREADY_EXISTS', `${what}; this run ends, and nothing that it copied is lost`);
  }

  /**
   * Returns the holder's token and its last beat: the condition for taking the lease.
   * @throws INVALID_DATA when the entry lacks one of them, as no entry of a migration does
   */
  #markOf(key: string, { holder, beat }: Fields): { readonly holder: string; readonly beat: string } {
    if (holder !== undefined && beat !== undefined) return { holder, beat };
    throw new TldrError(
      'INVALID_DATA',
      `${this.#store.label(key)} does not say who works on it ("holder" and "beat" are expected): it is damaged. Restore it from a backup of the database`,
    );
  }

  #words(key: string): { readonly label: string; readonly silence: string } {
    return { label: this.#store.label(key), silence: `${this.#silenceMsMax / 1000} s` };
  }
}

/** Returns the run that holds a lease; a word for it if the entry does not say, or is gone. */
function runnerOf(texts: Fields | null): string {
  return texts?.['runner'] ?? 'somebody';
}

function sinceOf(texts: Fields | null): string {
  return texts?.['since'] ?? 'this moment';
}
