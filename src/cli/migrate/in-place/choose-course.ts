import { TldrError } from '../../../core/errors.js';
import { adapterFor } from '../../adapters.js';
import { configOf } from '../../console/command-body.js';
import { kebabCase, type GlobalFlags } from '../../console/options.js';

/** Names of a migration's command: a table has no target. */
export interface GivenNames {
  readonly source: string;
  readonly target: string | undefined;
}

/** Flags that only one kind of migration has, by the keys of the parser. */
interface CourseFlags {
  readonly ofCopies?: readonly string[];
  readonly ofTables?: readonly string[];
}

/** Where the state of a copy is kept. That of a table is in its database. */
const STATE_FLAGS = ['record'];

/**
 * Runs a command of a migration: in place for a database whose compact vectors stand beside the full ones, else as a copy
 * into a second collection.
 * @throws INVALID_ARGUMENT for a target or a flag that this kind of migration does not have
 */
export async function chooseCourse(
  { source, target }: GivenNames,
  flags: GlobalFlags,
  ways: CourseFlags & {
    readonly copy: (pair: { readonly source: string; readonly target: string }) => Promise<void>;
    readonly inPlace: (table: string) => Promise<void>;
  },
): Promise<void> {
  const { ofCopies = [], ofTables = [], copy, inPlace } = ways;
  if (adapterFor(configOf(flags).url).migratesInPlace === true) {
    if (target !== undefined)
      throw new TldrError(
        'INVALID_ARGUMENT',
        `a table is migrated in place, so there is no target: leave "${target}" out`,
      );
    refuse(flags, [...STATE_FLAGS, ...ofCopies], 'a table of PostgreSQL is migrated without');
    return inPlace(source);
  }
  if (target === undefined) throw new TldrError('INVALID_ARGUMENT', "missing required argument 'target'");
  refuse(flags, ofTables, 'only a migration of a table of PostgreSQL has');
  return copy({ source, target });
}

function refuse(flags: object, names: readonly string[], why: string): void {
  const given = names.find((name) => Reflect.get(flags, name) !== undefined);
  if (given === undefined) return;
  throw new TldrError('INVALID_ARGUMENT', `${why} --${kebabCase(given)}`);
}
