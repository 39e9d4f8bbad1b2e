import type { Command } from 'commander';
import { TldrError } from '../../core/errors.js';
import { maskAddress } from '../../core/masked-address-and-redirect.js';

/** Flags that name a table and its column, where the address of the database stands in place of a collection. */
export interface TableFlags {
  readonly table?: string;
  readonly column?: string;
}

/** What the flags of a command say about the table. */
export interface NamedTable<Name extends string | undefined> {
  /** The collection or table. */
  readonly collection: Name;
  /** Flags that the address and the column stand for. */
  readonly way: { readonly url?: string; readonly vector?: string };
}

/** Adds the flags that name a table, and its column unless the command has a --column of its own. */
export function withTableFlags(command: Command, { hasColumn = false } = {}): Command {
  command.option('--table <name>', 'PostgreSQL: the table, if the address of the database comes first');
  if (!hasColumn) command.option('--column <name>', 'PostgreSQL: the column of vectors, as --vector');
  return command;
}

/**
 * Returns the collection that a command names, also if an address and a table name it.
 * @throws INVALID_ARGUMENT when something is named twice, or an address has no table
 */
export function namedTable<Name extends string | undefined>(
  named: Name,
  flags: TableFlags & { readonly url?: string; readonly vector?: string; readonly input?: string },
): NamedTable<Name | string> {
  const { table, url, input } = flags;
  const column = input === undefined ? flags.column : undefined;
  if (column !== undefined && flags.vector !== undefined && column !== flags.vector)
    throw usage(`--column ${column} and --vector ${flags.vector} name two columns: give one of them`);
  const vector = column === undefined ? {} : { vector: column };
  if (named === undefined || !isAddress(named)) {
    if (table === undefined) return { collection: named, way: vector };
    throw usage(
      `--table ${table} goes with the address of the database in front, such as postgres://app@localhost/app: got ${named ?? 'none'}`,
    );
  }
  const shown = maskAddress(named);
  if (url !== undefined) throw usage(`${shown} is an address, and --url another one: give one of them`);
  if (table === undefined) throw usage(`${shown} is the address of a database: name the table with --table`);
  return { collection: table, way: { ...vector, url: named } };
}

function isAddress(text: string): boolean {
  return /^[a-z][a-z0-9+.-]*:\/\//i.test(text);
}

function usage(message: string): TldrError {
  return new TldrError('INVALID_ARGUMENT', message);
}
