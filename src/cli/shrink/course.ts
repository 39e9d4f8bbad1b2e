import { TldrError } from '../../core/errors.js';
import type { Layout } from '../../store/collection.js';
import { isCopyTarget, type CopyTarget } from '../../store/copy-target.js';
import { isInPlaceTarget, type InPlaceTarget } from '../../store/in-place-target.js';
import type { VectorSource } from '../../store/vector-source.js';
import { adapterFor } from '../adapters.js';
import { cutOverRequestOf, type CutoverTableFlags } from '../migrate/in-place/run-change.js';

/** Where compact vectors go: into a second collection, or beside the full ones of a table. */
export type Course =
  | { readonly kind: 'copy'; readonly store: CopyTarget }
  | { readonly kind: 'in-place'; readonly store: InPlaceTarget };

/** Returns the course for a database. @throws UNSUPPORTED when compact vectors cannot be written to it */
export function courseFor(store: VectorSource, url: string): Course {
  if (isInPlace(url) && isInPlaceTarget(store)) return { kind: 'in-place', store };
  if (isCopyTarget(store)) return { kind: 'copy', store };
  throw new TldrError(
    'UNSUPPORTED',
    `no collection can be copied to ${store.endpoint}: a ${store.kind} store is only read`,
  );
}

/** Whether the database at an address keeps compact vectors beside the full ones. */
function isInPlace(url: string): boolean {
  return adapterFor(url).migratesInPlace === true;
}

/** Flags that only one course has. */
interface CourseFlags extends Pick<CutoverTableFlags, 'form' | 'function' | 'role'> {
  readonly layout: Layout;
  readonly target?: string;
  readonly switch?: string;
}

/** @throws INVALID_ARGUMENT for flags that only the other course has, or that do not go together */
export function checkCourseFlags(flags: CourseFlags, url: string): void {
  const { layout, target, switch: alias, form, function: searchFunction, role } = flags;
  if (!isInPlace(url)) {
    const ofTables = Object.entries({ form, function: searchFunction, role });
    const [given] = ofTables.filter(([, value]) => value !== undefined);
    if (given === undefined) return;
    throw new TldrError('INVALID_ARGUMENT', `only a table of PostgreSQL has --${given[0]}`);
  }
  cutOverRequestOf({ form: 'none', ...flags });
  const refuse = (why: string): TldrError => new TldrError('INVALID_ARGUMENT', why);
  if (layout === 'compact')
    throw refuse(
      '--layout compact: a table keeps its full vectors, and compact ones stand beside them (two-stage)',
    );
  if (target !== undefined)
    throw refuse(`a table is migrated in place, so there is no target: leave --target ${target} out`);
  if (alias !== undefined)
    throw refuse(
      `a table has no alias: leave --switch ${alias} out. With --form, a search function of the database or the operator of one role uses the compact vectors`,
    );
}
