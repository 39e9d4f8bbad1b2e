/** Compressions of HTTP bodies that the database can read. */
export type ContentCoding = 'gzip' | 'deflate' | 'br' | 'zstd';

const CODINGS: readonly string[] = ['gzip', 'deflate', 'br', 'zstd'] satisfies ContentCoding[];

function isCoding(name: string): name is ContentCoding {
  return CODINGS.includes(name);
}

/**
 * The compression that a `content-encoding` header names, or null if the body is read as it is. The database
 * ignores every other value, including lists such as `gzip, br`. The proxy does the same.
 */
export function contentCoding(header: string | undefined): ContentCoding | null {
  const name = header?.trim().toLowerCase() ?? '';
  return isCoding(name) ? name : null;
}
