/**
 * A collection that exists is created again only to learn what the server says of the request: the server looks at the
 * settings first, and at the name after that. The settings sent hold one that no server takes, so that nothing can be
 * created, even if the collection is deleted at that moment. What the server says of that one is taken out again.
 */

/** Settings that cannot be 0. Protobuf: of CreateCollection. */
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
  /** What an error in answer to it says of the client's own body; null where that is none. */
  readonly errorOf: (text: string) => string | null;
}

/** Returns a setting that the client did not give; null if it gave all of them. */
export function impossibleSetting(isGiven: (setting: Setting) => boolean): Setting | null {
  return SETTINGS.find((setting) => !isGiven(setting)) ?? null;
}

/**
 * What a list of errors in the server's words says besides the error of the setting that the proxy put in.
 * @param text as in `Validation error in JSON body: [shard_number: value 0 invalid, must be 1 or larger; ...]`
 */
export function withoutSetting(text: string, name: string): string | null {
  const [, before = '', list = '', after = ''] = /^([^[]*error[^[]*\[)(.*)(\][^\]]*)$/s.exec(text) ?? [];
  const errors = list.split('; ');
  const own = errors.filter((error) => !error.startsWith(`${name}: value 0 `));
  if (own.length === errors.length) return text;
  return own.length === 0 ? null : before + own.join('; ') + after;
}

/** The trial of a JSON body; null for a form that cannot be made safe. */
export function creationTrial(body: Uint8Array): CreationTrial | null {
  const start = body.findIndex((byte) => !SPACE.has(byte));
  const first = body[start];
  if (first === OPEN_LIST) return null;
  // Nothing else is a collection's settings to the server.
  if (first !== OPEN_OBJECT) return { body, errorOf: (text) => text };
  const text = Buffer.from(body.buffer, body.byteOffset, body.length);
  const setting = impossibleSetting(({ name }) => text.includes(`"${name}"`));
  if (setting === null) return null;
  const rest = body.subarray(start + 1);
  const next = rest.find((byte) => !SPACE.has(byte)) ?? CLOSE_OBJECT;
  const put = Buffer.from(`"${setting.name}":0${next === CLOSE_OBJECT ? '' : ','}`);
  // Columns count from the last line break.
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
