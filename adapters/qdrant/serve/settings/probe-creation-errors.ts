import { JsonError, scanJson, type JsonNode, type JsonObjectNode } from '../json/scan-body.js';

/**
 * If a client creates a collection that exists, the proxy forwards a trial to learn the server's errors about
 * the settings: the server checks the settings before the name. The trial holds one impossible setting, so
 * that nothing can be created, even if the collection is deleted at that moment: one that the client did not
 * give, or else a valid one of the client, replaced by 0. The error about that setting is removed from the
 * answer.
 */

/** Settings that cannot be 0, with their fields in CreateCollection. */
const SETTINGS = [
  { name: 'shard_number', field: 7 },
  { name: 'replication_factor', field: 11 },
  { name: 'write_consistency_factor', field: 12 },
] as const;

type Setting = (typeof SETTINGS)[number];

const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;
const SPACE: ReadonlySet<number> = new Set([0x20, 0x09, 0x0a, 0x0d]);
/** Position of `shard_number` if the settings are given as a list. */
const LISTED_SHARD_NUMBER = 1;
/** The largest number that a setting can hold. */
const SETTING_MAX = 2 ** 32 - 1;

/** A body that creates nothing. */
export interface CreationTrial {
  readonly body: Uint8Array;
  /** Returns the part of an error that is about the client's own body; null for none. */
  readonly errorOf: (text: string) => string | null;
}

/**
 * Returns the setting to send as 0: one that the client did not give, otherwise the first one. Returns null
 * if the client gave all of them, and 0 for one: its own request then cannot create anything.
 * @param valueOf the number that the client gave; null for none
 */
export function impossibleSetting(valueOf: (setting: Setting) => bigint | null): Setting | null {
  const values = SETTINGS.map(valueOf);
  const absent = values.indexOf(null);
  if (absent >= 0) return SETTINGS[absent] ?? null;
  return values.includes(0n) ? null : SETTINGS[0];
}

/**
 * Returns a list of errors in the server's words without the error about the setting that the proxy added;
 * null if no other error is left.
 * @param text as in `Validation error in JSON body: [shard_number: value 0 invalid, must be 1 or larger; ...]`
 */
export function withoutSetting(text: string, name: string): string | null {
  const [, before = '', list = '', after = ''] = /^([^[]*error[^[]*\[)(.*)(\][^\]]*)$/s.exec(text) ?? [];
  const errors = list.split('; ');
  const own = errors.filter((error) => !error.startsWith(`${name}: value 0 `));
  if (own.length === errors.length) return text;
  return own.length === 0 ? null : before + own.join('; ') + after;
}

/** Returns the trial for a JSON body. */
export function creationTrial(body: Uint8Array): CreationTrial {
  const root = nodeOf(body);
  if (root?.kind === 'object') return objectTrial(body, root);
  if (root?.kind === 'array') {
    const shards = root.items[LISTED_SHARD_NUMBER];
    // The server refuses a list without this setting: further ones are needed.
    return shards === undefined ? asItIs(body) : zeroTrial(body, SETTINGS[0].name, [shards]);
  }
  // No JSON. The server refuses it, but may read it in another way than the proxy.
  const text = Buffer.from(body.buffer, body.byteOffset, body.length);
  const first = body.findIndex((byte) => !SPACE.has(byte));
  const absent = SETTINGS.find(({ name }) => !text.includes(name) && !text.includes('\\'));
  return body[first] !== OPEN_OBJECT || absent === undefined ? asItIs(body) : addedTrial(body, first, absent);
}

function objectTrial(body: Uint8Array, { entries, start }: JsonObjectNode): CreationTrial {
  const valuesOf = ({ name }: Setting): JsonNode[] =>
    entries.filter(({ key }) => key === name).map(({ value }) => value);
  const absent = SETTINGS.find((setting) => valuesOf(setting).length === 0);
  if (absent !== undefined) return addedTrial(body, start, absent);
  const impossible = SETTINGS.some((setting) => {
    const [value, second] = valuesOf(setting);
    return value === undefined || second !== undefined || !isPossible(body, value);
  });
  const [setting] = SETTINGS;
  return impossible ? asItIs(body) : zeroTrial(body, setting.name, valuesOf(setting));
}

/** The trial for a body that can create nothing. */
function asItIs(body: Uint8Array): CreationTrial {
  return { body, errorOf: (text) => text };
}

/** The trial with a value of the client replaced by 0. Blanks keep the columns of the server's errors. */
function zeroTrial(body: Uint8Array, name: string, [value]: readonly JsonNode[]): CreationTrial {
  if (value === undefined || !isPossible(body, value)) return asItIs(body);
  const changed = Uint8Array.from(body);
  changed.fill(0x20, value.start, value.end);
  changed[value.start] = 0x30;
  return { body: changed, errorOf: (text) => withoutSetting(text, name) };
}

/** The trial with a setting added behind the brace at `start`. */
function addedTrial(body: Uint8Array, start: number, setting: Setting): CreationTrial {
  const rest = body.subarray(start + 1);
  const next = rest.find((byte) => !SPACE.has(byte)) ?? CLOSE_OBJECT;
  const put = Buffer.from(`"${setting.name}":0${next === CLOSE_OBJECT ? '' : ','}`);
  // The server's errors count columns from the last line break.
  const isFirstLine = !body.subarray(0, start).includes(0x0a);
  return {
    body: Buffer.concat([body.subarray(0, start + 1), put, rest]),
    errorOf: (error) => {
      const own = withoutSetting(error, setting.name);
      if (own === null || !isFirstLine) return own;
      return own.replace(/(?<= at line 1 column )\d+/g, (column) => String(Number(column) - put.length));
    },
  };
}

/** Returns whether the server takes a value for one of the settings. */
function isPossible(body: Uint8Array, { kind, start, end }: JsonNode): boolean {
  if (kind === 'null') return true;
  const text = Buffer.from(body.subarray(start, end)).toString('latin1');
  return kind === 'number' && /^[1-9]\d*$/.test(text) && Number(text) <= SETTING_MAX;
}

function nodeOf(body: Uint8Array): JsonNode | null {
  try {
    return scanJson(body);
  } catch (error) {
    if (error instanceof JsonError) return null;
    throw error;
  }
}
