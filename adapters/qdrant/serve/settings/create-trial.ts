/**
 * If a client creates a collection that exists, the proxy forwards a trial to learn the server's errors about
 * the settings: the server checks the settings before the name. The trial holds one impossible setting, so
 * that nothing can be created, even if the collection is deleted at that moment. The error about that setting
 * is removed from the answer.
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
const OPEN_LIST = 0x5b;
const SPACE: ReadonlySet<number> = new Set([0x20, 0x09, 0x0a, 0x0d]);

/** A body that creates nothing. */
export interface CreationTrial {
  readonly body: Uint8Array;
  /** Returns the part of an error that is about the client's own body; null for none. */
  readonly errorOf: (text: string) => string | null;
}

/** Returns a setting that the client did not give; null if it gave all of them. */
export function impossibleSetting(isGiven: (setting: Setting) => boolean): Setting | null {
  return SETTINGS.find((setting) => !isGiven(setting)) ?? null;
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

/** Returns the trial for a JSON body; null for a form that cannot be made safe. */
export function creationTrial(body: Uint8Array): CreationTrial | null {
  const start = body.findIndex((byte) => !SPACE.has(byte));
  const first = body[start];
  if (first === OPEN_LIST) return null;
  // The server takes nothing else as a collection's settings.
  if (first !== OPEN_OBJECT) return { body, errorOf: (text) => text };
  const text = Buffer.from(body.buffer, body.byteOffset, body.length);
  const setting = impossibleSetting(({ name }) => text.includes(`"${name}"`));
  if (setting === null) return null;
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
