import { TldrError } from '../../../src/core/errors.js';

/** A name in a statement, in quotes. */
export function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

/** A text in a statement. It is right whatever `standard_conforming_strings` says. */
export function literal(text: string): string {
  const doubled = text.replaceAll("'", "''");
  return text.includes('\\') ? ` E'${doubled.replaceAll('\\', '\\\\')}'` : `'${doubled}'`;
}

/** A text between dollar quotes, as the body of a function. The quotes stand nowhere in the text, such as in a name. */
export function dollarQuoted(tag: string, text: string): string {
  const quote = `$${tag}$`;
  return text.includes(quote) ? dollarQuoted(`${tag}_`, text) : `${quote}${text}${quote}`;
}

/** A name that is written as in SQL, part by part. */
export interface NamePart {
  readonly text: string;
  /** In quotes: upper and lower case differ. */
  readonly isQuoted: boolean;
}

const PART = /^(?:"((?:[^"]|"")+)"|([^."]+))(?:\.|$)/;

/** Returns the parts of `table`, `schema.table` or `"Odd name"."t"`; null for anything else. */
export function partsOfName(name: string): readonly NamePart[] | null {
  const parts: NamePart[] = [];
  let rest = name;
  while (rest !== '' && parts.length < 2) {
    const match = PART.exec(rest);
    if (match === null) return null;
    const [whole, inQuotes, plain] = match;
    parts.push({ text: inQuotes?.replaceAll('""', '"') ?? plain ?? '', isQuoted: inQuotes !== undefined });
    if (!whole.endsWith('.') && whole.length < rest.length) return null;
    rest = rest.slice(whole.length);
    if (whole.endsWith('.') && rest === '') return null;
  }
  return rest === '' && parts.length > 0 ? parts : null;
}

const NAME_LETTERS = /^[^".]+$/;

/** Returns the name under which a table is listed: without the schema if the search path finds it. */
export function shownName({ schema, name, isVisible }: ListedTable): string {
  if (isVisible && NAME_LETTERS.test(name)) return name;
  const shown = (part: string): string => (NAME_LETTERS.test(part) ? part : quoted(part));
  return isVisible ? quoted(name) : `${shown(schema)}.${shown(name)}`;
}

/** A table of the catalogue. */
export interface ListedTable {
  readonly schema: string;
  readonly name: string;
  /** Whether its name without a schema leads to it. */
  readonly isVisible: boolean;
}

/** Returns the names of a list such as `tenant, "Id"`. @throws INVALID_ARGUMENT for an empty or malformed list */
export function namesOfList(list: string): readonly string[] {
  const names = list.match(/"(?:[^"]|"")+"|[^",]+/g)?.map((name) => name.trim()) ?? [];
  const plain = names.filter((name) => name !== '').map((name) => partsOfName(name));
  const found = plain.flatMap((parts) => (parts?.length === 1 ? parts.map(({ text }) => text) : []));
  if (found.length === 0 || found.length < plain.length)
    throw new TldrError(
      'INVALID_ARGUMENT',
      `"${list}" is no list of columns: expected, for example, tenant,id`,
    );
  return found;
}
