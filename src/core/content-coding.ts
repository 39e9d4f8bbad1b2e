/** Compressions of HTTP bodies that databases read. */
export type ContentCoding = 'gzip' | 'deflate' | 'br' | 'zstd';

const CODINGS: readonly string[] = ['gzip', 'deflate', 'br', 'zstd'] satisfies ContentCoding[];

function isCoding(name: string): name is ContentCoding {
  return CODINGS.includes(name);
}

/**
 * The compression that a `content-encoding` header names; null where the body is read as it stands. The server ignores
 * every other value, lists among them, and so does the proxy.
 */
export function contentCoding(header: string | undefined): ContentCoding | null {
  const name = header?.trim().toLowerCase() ?? '';
  return isCoding(name) ? name : null;
}
