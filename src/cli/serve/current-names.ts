import { messageOf, TldrError } from '../../core/errors.js';
import type { CopyTarget } from '../../store/copy-target.js';
import { allNames } from '../../store/facets.js';
import type { Addressed, NameLookup } from '../../serve/protocol.js';
import { CurrentAliases } from './current-aliases.js';

/**
 * How long a known meaning of a name is used without reading it again. A change by an alias always reads it.
 */
const READ_FRESH_MS = 1_000;
const CHANGE_FRESH_MS = 100;

type NamesStore = Pick<CopyTarget, 'names' | 'listCollections' | 'close'>;

/**
 * Looks up what the names of the database mean, for everything in this process: aliases are made, moved and
 * removed while the proxy runs. Configured names mean what the configuration says.
 */
export class CurrentNames implements NameLookup {
  readonly aliases = new CurrentAliases(() => allNames(this.#store));
  readonly #isConfigured: (name: string) => boolean;
  #store: NamesStore;
  #collections: ReadonlySet<string> = new Set();
  #listing: Promise<void> | null = null;

  constructor(store: NamesStore, isConfigured: (name: string) => boolean) {
    this.#store = store;
    this.#isConfigured = isConfigured;
  }

  /**
   * Switches to another connection once the aliases could be read through it, and closes the one before.
   * @throws the error of reading the aliases; then the given connection is closed and the one before stays
   */
  async use(store: NamesStore): Promise<void> {
    try {
      await this.aliases.readBy(() => allNames(store));
    } catch (error) {
      await store.close();
      throw error;
    }
    const before = this.#store;
    this.#store = store;
    await before.close();
  }

  learn({ name, changes }: Addressed): Promise<void> | null {
    const isConfigured = this.#isConfigured(name);
    const isAlias = this.aliases.latest?.has(name) === true;
    const isKnown = isConfigured || isAlias || this.isKnown(name);
    const freshMs = changes && !isConfigured ? CHANGE_FRESH_MS : READ_FRESH_MS;
    const ageMs = performance.now() - this.aliases.readAtMs;
    const isFresh = isConfigured || (isKnown && !(changes && isAlias) && ageMs <= freshMs);
    if (!isFresh) return this.#look({ name, changes }, isKnown);
    // In the background, so that requests by names in use do not wait.
    if (ageMs > freshMs / 2) this.aliases.read().catch(() => undefined);
    return null;
  }

  /** Whether a collection of this name has been seen. */
  isKnown(collection: string): boolean {
    return this.#collections.has(collection);
  }

  /**
   * Whether there is a collection of this name; an alias does not count.
   * @throws UNAVAILABLE when it cannot be read
   */
  async isCollection(name: string): Promise<boolean> {
    if (!this.isKnown(name)) await this.#list();
    return this.isKnown(name);
  }

  close(): Promise<void> {
    return this.#store.close();
  }

  async #look({ name, changes }: Addressed, isKnown: boolean): Promise<void> {
    try {
      await Promise.all([this.aliases.read(), isKnown ? null : this.#list()]);
    } catch (cause) {
      // For reading, the last known meaning is good enough.
      if (isKnown && !changes) return;
      throw new TldrError('UNAVAILABLE', `what "${name}" means cannot be read: ${messageOf(cause)}`, {
        cause,
      });
    }
  }

  /** Calls during a reading share it. */
  #list(): Promise<void> {
    this.#listing ??= this.#store
      .listCollections()
      .then((names) => void (this.#collections = new Set(names)))
      .finally(() => (this.#listing = null));
    return this.#listing;
  }
}
