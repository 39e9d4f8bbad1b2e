/** Texts by name. */
export type Fields = Readonly<Record<string, string>>;

/**
 * Small entries of named texts that a database keeps for whoever reaches it, changed under conditions that the
 * database itself looks at: by them several machines agree who works on what. Acknowledged writes are applied and
 * durable, and are seen by every later reading.
 */
export interface StateStore {
  /** Where the database is, printable: no credentials. */
  readonly endpoint: string;
  /** Where the entry of a key is, for messages. */
  label(key: string): string;
  /** An entry, or only these of its texts; null where there is none. Writes nothing, whatever is missing. */
  read(key: string, names?: readonly string[]): Promise<Fields | null>;
  /**
   * Makes an entry, with all that the store needs for it; one that is there stays as it is.
   * @throws UNSUPPORTED where the database knows no such condition, ALREADY_EXISTS where its place is taken
   */
  create(key: string, texts: Fields): Promise<void>;
  /**
   * Sets these texts and leaves the others, in one step, where the entry's texts are those of `where` at that moment;
   * else nothing happens, also where there is no entry. Whether it did is seen by reading.
   */
  change(key: string, texts: Fields, where: Fields): Promise<void>;
  /** Removes an entry under such a condition, and what the store needs for entries with the last of them. */
  remove(key: string, where: Fields): Promise<void>;
}
