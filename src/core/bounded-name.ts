import { createHash } from 'node:crypto';

/** Hexadecimal characters of the hash in a shortened name. */
const HASH_CHARS = 16;
/** Longest result of `fileNamePart`. Some encrypted folders limit names to 143 bytes, and suffixes follow. */
const FILE_NAME_PART_BYTES_MAX = 60;
/** Names that every file system stores unchanged and never confuses with each other. */
const PLAIN_FILE_NAME = /^[a-z0-9_][a-z0-9_.-]*$/;

/** The name itself if it has at most `maxBytes` bytes as UTF-8, else its start with a hash of the whole name. */
export function boundedName(name: string, maxBytes: number): string {
  if (Buffer.byteLength(name) <= maxBytes) return name;
  return hashedName(name, { start: name, maxBytes });
}

/**
 * Returns a name that a user chose in a form that can be part of a file name. Two different names never give
 * the same part, even on a file system that ignores upper and lower case or Unicode normalisation.
 */
export function fileNamePart(name: string): string {
  if (PLAIN_FILE_NAME.test(name) && name.length <= FILE_NAME_PART_BYTES_MAX) return name;
  const start = name.replaceAll(/[^\p{L}\p{M}\p{N}_.-]/gu, '_').replace(/^[.-]/, '_');
  return hashedName(name, { start, maxBytes: FILE_NAME_PART_BYTES_MAX });
}

/**
 * `start`, shortened to fit into `maxBytes`, then a plus sign and a hash of `name`. `PLAIN_FILE_NAME` allows
 * no plus sign, so the result never equals a plain name.
 */
export function hashedName(
  name: string,
  { start, maxBytes }: { readonly start: string; readonly maxBytes: number },
): string {
  const hash = createHash('sha256').update(name).digest('hex').slice(0, HASH_CHARS);
  let [kept, left] = ['', maxBytes - HASH_CHARS - 1];
  for (const char of start) {
    left -= Buffer.byteLength(char);
    if (left < 0) break;
    kept += char;
  }
  return `${kept}+${hash}`;
}
