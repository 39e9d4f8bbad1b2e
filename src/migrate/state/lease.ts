import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import { messageOf, TldrError } from '../../core/errors.js';
import type { StateStore, Fields } from '../../store/state-store.js';
import { sleep, type RunOptions } from '../../core/run.js';

/** Between two signs of life of whoever holds an entry. */
const RENEW_MS = 2_000;
/** So long without one, and another runner may take over. */
const SILENCE_MS_MAX = 15_000;
const WATCH_POLL_MS = 250;
/** A runner that is alive shows it sooner. */
const TELL_AFTER_MS = 2 * RENEW_MS;
const WRITE_TRIES = 3;

/** What stands in the place of a holder's token where nobody holds the entry. */
const NOBODY = 'nobody';
const LEASE_NAMES = ['holder', 'beat', 'runner', 'since'];

/** How leases are kept. */
export interface LeaseOptions extends Pick<RunOptions, 'signal' | 'log'> {
  readonly renewMs?: number | undefined;
  readonly silenceMsMax?: number | undefined;
}

/** An entry that this runner alone changes, until it is taken over. */
export interface Lease {
  /** Fires when another runner has taken over, with the error to throw. */
  readonly signal: AbortSignal;
  /** The condition under which a change is this runner's. */
  readonly mine: Fields;
  /** Sets these texts. @throws ALREADY_EXISTS where the lease is lost, with nothing set */
  write(texts: Fields): Promise<void>;
  /** Gives no more signs of life; resolves when none is under way. */
  stop(): Promise<void>;
  /** Lets others take it. */
  release(): Promise<void>;
}

type Found =
  { readonly state: 'gone' } | { readonly state: 'free' | 'alive' | 'silent'; readonly texts: Fields };

/**
 * Leases on entries of a store. The clocks of machines are never compared: whoever finds an entry held watches it for
 * signs of life. Whether it is taken, written or let go is decided by the store alone, by the holder's token.
 */
export class Leases {
  readonly #store: StateStore;
  readonly #options: LeaseOptions;
  readonly #renewMs: number;
  readonly #silenceMsMax: number;
  /** Silence seen so far, by key, since one sign of life. */
  readonly #silences = new Map<string, { readonly mark: string; atMs: number; seenMs: number }>();
  #told = false;

  constructor(store: StateStore, options: LeaseOptions) {
    this.#store = store;
    this.#options = options;
    this.#renewMs = options.renewMs ?? RENEW_MS;
    this.#silenceMsMax = options.silenceMsMax ?? SILENCE_MS_MAX;
  }

  /** Who holds an entry and gives signs of life, in words, or null. Takes as long as it takes to know. */
  async holder(key: string): Promise<string | null> {
    const found = await this.#watch(key);
    return found.state === 'alive' ? runnerOf(found.texts) : null;
  }

  /**
   * Takes an entry that nobody holds, made with `texts` where it is not there, or one whose holder is silent.
   * @throws ALREADY_EXISTS while another runner holds it
   */
  async take(key: string, texts: Fields): Promise<Lease> {
    const found = await this.#watch(key);
    if (found.state === 'alive') throw this.#refusal(key, found.texts);
    const [token, beat] = [randomUUID(), randomUUID()];
    const runner = `process ${process.pid} on ${hostname()}`;
    const own = { holder: token, beat, runner, since: new Date().toISOString() };
    if (found.state === 'gone') await this.#store.create(key, { ...texts, ...own });
    else await this.#store.change(key, own, markOf(found.texts));
    const after = await this.#store.read(key, LEASE_NAMES);
    // Another one was faster, or the holder was not silent after all.
    if (after?.['holder'] !== token) throw this.#refusal(key, after ?? {});
    if (found.state === 'silent') this.#tellTakeOver(key, found.texts);
    return this.#keep(key, { token, beat });
  }

  #keep(key: string, { token, beat }: { readonly token: string; beat: string }): Lease {
    const mine = { holder: token };
    const lost = new AbortController();
    const writeOnce = async (texts: Fields): Promise<boolean> => {
      const next = randomUUID();
      // The last beat is part of the condition: a request that comes late, sent again in the meantime, changes nothing.
      await this.#store.change(key, { ...texts, beat: next }, { ...mine, beat });
      const after = await this.#store.read(key, LEASE_NAMES);
      if (after?.['holder'] !== token) {
        if (!lost.signal.aborted) lost.abort(this.#loss(key, after));
        throw lost.signal.reason;
      }
      beat = after['beat'] ?? '';
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

  /** Gives signs of life until the returned function is called, or the lease is lost. */
  #beat(give: () => Promise<void>, lost: AbortSignal): () => Promise<void> {
    const ended = new AbortController();
    let timer: NodeJS.Timeout | undefined;
    let renewing = Promise.resolve();
    const renew = async (): Promise<void> => {
      try {
        await give();
      } catch (error) {
        // A server that this one does not reach gives the lease to nobody else meanwhile, or the next write tells.
        this.#options.log?.('debug', `no sign of life given: ${messageOf(error)}`);
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
   * Watches an entry that is held until its holder gives a sign of life, lets go, or was silent for too long. Silence
   * counts between two readings close to each other alone: while the server was away nobody could speak.
   */
  async #watch(key: string): Promise<Found> {
    let first: string | undefined;
    for (;;) {
      const texts = await this.#store.read(key, LEASE_NAMES);
      if (texts === null) return { state: 'gone' };
      const { holder, beat } = markOf(texts);
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
      `${runnerOf(texts)} holds ${label}: waiting for a sign of life, ${this.#words(key).silence} at most`,
    );
  }

  #tellTakeOver(key: string, texts: Fields): void {
    const { label, silence } = this.#words(key);
    this.#options.log?.(
      'warn',
      `takes ${label} over from ${runnerOf(texts)}, which held it since ${texts['since'] ?? ''} and gave no sign of life for ${silence}`,
    );
  }

  #refusal(key: string, texts: Fields): TldrError {
    const { label, silence } = this.#words(key);
    return new TldrError(
      'ALREADY_EXISTS',
      `another run (${runnerOf(texts)}, since ${texts['since'] ?? 'this moment'}) works on ${label}; stop it first, or try again when it has been silent for ${silence}`,
    );
  }

  #loss(key: string, texts: Fields | null): TldrError {
    const { label, silence } = this.#words(key);
    const holder = texts === null || texts['holder'] === NOBODY ? 'another run' : runnerOf(texts);
    const what =
      texts === null
        ? `${label} is gone: the migration was given up, or its record removed`
        : `${holder} took ${label} over when nothing was heard of this run for ${silence}`;
    return new TldrError('ALREADY_EXISTS', `${what}; this run ends, and nothing that it copied is lost`);
  }

  #words(key: string): { readonly label: string; readonly silence: string } {
    return { label: this.#store.label(key), silence: `${this.#silenceMsMax / 1000} s` };
  }
}

/** Who holds an entry, and the last sign of life: what a taking depends on. */
function markOf(texts: Fields): { readonly holder: string; readonly beat: string } {
  return { holder: texts['holder'] ?? NOBODY, beat: texts['beat'] ?? '' };
}

function runnerOf(texts: Fields): string {
  return texts['runner'] ?? 'somebody';
}
