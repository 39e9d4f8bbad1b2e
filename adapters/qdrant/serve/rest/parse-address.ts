/** An address, split as by the server's router. */
export interface RestPath {
  /** Segments with resolved escapes. */
  readonly segments: readonly string[];
  /** The segments as received. */
  readonly raw: readonly string[];
  /** The query string with its question mark; '' for none. */
  readonly search: string;
}

/** Characters that the server's router leaves escaped until it has found the route. */
const LATE: ReadonlySet<number> = new Set([0x25, 0x2f, 0x2b]);

/**
 * Returns a parsed address. Repeated and trailing slashes are ignored, and any character of a name may be
 * escaped.
 */
export function parsePath(url: string): RestPath {
  const [address = ''] = url.split('#');
  const at = address.indexOf('?');
  const path = at < 0 ? address : address.slice(0, at);
  const raw = path
    .replace(/^[a-z][a-z0-9+.-]*:\/\/[^/]*/i, '')
    .split('/')
    .filter((segment) => segment !== '');
  return { segments: raw.map(unescape), raw, search: at < 0 ? '' : address.slice(at) };
}

function unescape(segment: string): string {
  if (!segment.includes('%')) return segment;
  const early = decode(Buffer.from(segment, 'latin1'), LATE);
  return decode(early, new Set()).toString('utf8');
}

function decode(bytes: Buffer, keep: ReadonlySet<number>): Buffer {
  const out: number[] = [];
  for (let at = 0; at < bytes.length; at++) {
    const hex = bytes[at] === 0x25 ? bytes.toString('latin1', at + 1, at + 3) : '';
    const byte = /^[0-9a-f]{2}$/i.test(hex) ? Number.parseInt(hex, 16) : -1;
    if (byte < 0 || keep.has(byte)) {
      out.push(bytes[at]!);
      continue;
    }
    out.push(byte);
    at += 2;
  }
  return Buffer.from(out);
}
