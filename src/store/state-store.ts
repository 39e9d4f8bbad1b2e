/** Named text values of one entry. */
export type Fields = Readonly<Record<string, string>>;

/**
 * Entries of named text values in a database. The database itself checks the condition of each change, so
 * that several machines can agree which of them works on a migration. Acknowledged writes are durable, and
 * every later read sees them.
 */
export interface StateStore {
  /** Address of the database without credentials, fit to be printed. */
  readonly endpoint: string;
  /** Returns the location of a key's entry, for messages. */
  label(key: string): string;
  /** Returns an entry, or only the named values of it; null if there is no entry. Never writes. */
  read(key: string, names?: readonly string[]): Promise<Fields | null>;
  /**
   * Creates an entry, and everything that the store needs for it. An existing entry stays as it is.
   * @throws UNSUPPORTED when the database lacks conditional changes
   * @throws ALREADY_EXISTS when something else occupies the place where the store keeps its entries
   */
  create(key: string, texts: Fields): Promise<void>;
  /**
   * Sets these values in one atomic step if the entry's values equal those of `where` at that moment. Other
   * values stay. If they differ, or there is no entry, nothing changes. The caller reads the entry to see
   * which happened.
   */
  change(key: string, texts: Fields, where: Fields): Promise<void>;
  /** Removes an entry under the same kind of condition; with the last one, all that `create` made. */
  remove(key: string, where: Fields): Promise<void>;
}
