import { resolve } from 'node:path';
import { TldrError } from '../core/errors.js';
import type { ServedFacts } from '../store/served.js';
import type { Layout } from '../store/collection.js';

/** The settings of one served collection, from a configuration file or from flags. */
export interface ServedSetting {
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
  /** Set while the target is still being made: writes go to the source and are brought over to the target. */
  readonly migrating?: MigratingSetting;
}

/** The source of a migration, and the folder of the journal of client writes. */
export interface MigratingSetting {
  readonly source: string;
  readonly journal: string;
}

type Check = (value: unknown) => string | null;

const text: Check = (value) => (typeof value === 'string' && value !== '' ? null : 'expected a text');
const oneOf =
  (...allowed: string[]): Check =>
  (value) =>
    allowed.some((one) => one === value) ? null : `expected ${allowed.join(' or ')}`;
const factor: Check = (value) =>
  typeof value === 'number' && value >= 1 && value <= 1000 ? null : 'expected a number from 1 to 1000';

const migrating: Check = (value) => {
  const keys = isRecord(value) ? Object.keys(value).sort().join() : '';
  const ok =
    isRecord(value) && keys === 'journal,source' && Object.values(value).every((one) => text(one) === null);
  return ok ? null : 'expected an object with the texts "source" and "journal"';
};

const CHECKS: Readonly<Record<keyof ServedSetting, Check>> = {
  target: text,
  encoder: text,
  layout: oneOf('compact', 'two-stage'),
  oversampling: factor,
  scoreThreshold: oneOf('pass', 'refuse'),
  vectorAnswers: oneOf('refuse', 'compact'),
  full: text,
  migrating,
};
const REQUIRED = ['target', 'encoder'] as const;

/**
 * Returns the served collections by the names that clients use.
 * @param folder folder that relative paths of encoders and journals start from
 * @throws INVALID_ARGUMENT for unknown or malformed keys, and for a target that is served twice
 */
export function parseServedSettings(value: unknown, folder: string): Readonly<Record<string, ServedSetting>> {
  if (!isRecord(value)) throw wrong('collections', 'expected an object of collections by their names');
  const parsed = new Map<string, ServedSetting>();
  const nameOf = new Map<string, string>();
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
    const { migrating: moved } = setting;
    if (moved?.source === setting.target) throw wrong(at, 'its source is its target');
    parsed.set(name, {
      ...setting,
      encoder: resolve(folder, setting.encoder),
      ...(moved === undefined ? {} : { migrating: { ...moved, journal: resolve(folder, moved.journal) } }),
    });
  }
  // Object.fromEntries makes own keys: a collection may be called `__proto__`.
  return Object.fromEntries(parsed);
}

function parseOne(value: unknown, at: string): ServedSetting {
  if (!isRecord(value)) throw wrong(at, 'expected an object');
  for (const [key, inner] of Object.entries(value)) {
    if (!Object.hasOwn(CHECKS, key))
      throw wrong(`${at}.${key}`, `unknown key: known are ${Object.keys(CHECKS).join(', ')}`);
    const problem = CHECKS[key as keyof ServedSetting](inner);
    if (problem !== null) throw wrong(`${at}.${key}`, `${problem}, got ${JSON.stringify(inner)}`);
  }
  for (const key of REQUIRED) if (!Object.hasOwn(value, key)) throw wrong(`${at}.${key}`, 'it is missing');
  // Every key was checked above.
  return value as unknown as ServedSetting;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function wrong(at: string, problem: string): TldrError {
  return new TldrError('INVALID_ARGUMENT', `configuration: ${at}: ${problem}`);
}
