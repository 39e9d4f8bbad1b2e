import { resolve } from 'node:path';
import * as v from 'valibot';
import { inForm } from '../core/check-schema.js';
import { TldrError } from '../core/errors.js';
import type { ServedFacts } from '../store/served.js';
import type { Layout } from '../store/collection.js';

/** The settings of one served collection, from a configuration file or from flags. */
export interface ServedCollectionSettings {
  /** The collection that a migration made. */
  readonly target: string;
  /** Path of the encoder file. */
  readonly encoder: string;
  readonly layout?: Layout;
  readonly oversampling?: number;
  readonly scoreThreshold?: ServedFacts['scoreThreshold'];
  readonly vectorAnswers?: ServedFacts['vectorAnswers'];
  /** The collection with the full vectors, for shadow searches. */
  readonly full?: string;
  /** File for a sample of the vectors that clients search for. */
  readonly recordQueries?: string;
  /** Set while the target is still being made: writes go to the source and are brought over to the target. */
  readonly migrating?: MigratingSetting;
}

/** The source of a migration, and the folder of the journal of client writes. */
export interface MigratingSetting {
  readonly source: string;
  readonly journal: string;
}

const TEXT = v.pipe(v.string('expected a text'), v.nonEmpty('expected a text'));
const FACTOR = 'expected a number from 1 to 1000';
const MIGRATING = v.strictObject({ source: TEXT, journal: TEXT });
const oneOf = <const Value extends string>(...allowed: Value[]): v.PicklistSchema<Value[], string> =>
  v.picklist(allowed, `expected ${allowed.join(' or ')}`);

const SETTING = v.looseObject(
  {
    target: TEXT,
    encoder: TEXT,
    layout: v.exactOptional(oneOf('compact', 'two-stage')),
    oversampling: v.exactOptional(v.pipe(v.number(FACTOR), v.minValue(1, FACTOR), v.maxValue(1000, FACTOR))),
    scoreThreshold: v.exactOptional(oneOf('pass', 'refuse')),
    vectorAnswers: v.exactOptional(oneOf('refuse', 'compact')),
    full: v.exactOptional(TEXT),
    recordQueries: v.exactOptional(TEXT),
    migrating: v.exactOptional(
      v.custom<MigratingSetting>(
        (value) => v.is(MIGRATING, value),
        'expected an object with the texts "source" and "journal"',
      ),
    ),
  },
  'expected an object',
);

/**
 * Returns the served collections by the names that clients use.
 * @param folder folder that relative paths of encoders, journals and recorded queries start from
 * @throws INVALID_ARGUMENT for unknown or malformed keys, and for a target or a file of queries that is named twice
 */
export function parseServedSettings(
  value: unknown,
  folder: string,
): Readonly<Record<string, ServedCollectionSettings>> {
  if (!isRecord(value)) throw wrong('collections', 'expected an object of collections by their names');
  const parsed = new Map<string, ServedCollectionSettings>();
  const nameOf = new Map<string, string>();
  const recordedFor = new Map<string, string>();
  for (const [name, one] of Object.entries(value)) {
    const at = `collections.${name}`;
    if (name === '') throw wrong(at, 'expected a name');
    const setting = parseOne(one, at);
    const other = nameOf.get(setting.target);
    if (other !== undefined)
      throw wrong(
        at,
        `its target ${setting.target} is also the target of ${other}: serve it under one name, and make the others aliases in the database`,
      );
    nameOf.set(setting.target, name);
    const { migrating: moved, recordQueries } = setting;
    const queries = recordQueries === undefined ? null : resolve(folder, recordQueries);
    const recorded = queries === null ? undefined : recordedFor.get(queries);
    if (recorded !== undefined)
      throw wrong(at, `its file of queries is also that of ${recorded}: give each collection its own`);
    if (queries !== null) recordedFor.set(queries, name);
    if (moved?.source === setting.target) throw wrong(at, 'its source is its target');
    parsed.set(name, {
      ...setting,
      encoder: resolve(folder, setting.encoder),
      ...(queries === null ? {} : { recordQueries: queries }),
      ...(moved === undefined ? {} : { migrating: { ...moved, journal: resolve(folder, moved.journal) } }),
    });
  }
  // Object.fromEntries makes own keys: a collection may be called `__proto__`.
  return Object.fromEntries(parsed);
}

function parseOne(value: unknown, at: string): ServedCollectionSettings {
  if (isRecord(value))
    for (const key of Object.keys(value))
      if (!Object.hasOwn(SETTING.entries, key))
        throw wrong(`${at}.${key}`, `unknown key: known are ${Object.keys(SETTING.entries).join(', ')}`);
  const refuse = (problem: string): TldrError =>
    new TldrError('INVALID_ARGUMENT', `configuration: ${problem}`);
  return inForm(SETTING, value, { at, refuse });
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function wrong(at: string, problem: string): TldrError {
  return new TldrError('INVALID_ARGUMENT', `configuration: ${at}: ${problem}`);
}
