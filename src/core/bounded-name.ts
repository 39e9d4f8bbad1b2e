import { createHash } from 'node:crypto';

/** Hexadecimal characters of the hash in a shortened name. */
const HASH_CHARS = 16;
/** Longest part of a file name: an encrypted folder may leave names 143 bytes, and suffixes follow. */
const FILE_NAME_PART_BYTES_MAX = 60;
/** What every file system keeps as it is, and apart from other names. */
const PLAIN_FILE_NAME = /^[a-z0-9_][a-z0-9_.-]*$/;

/** The name itself if it has at most `maxBytes` bytes as UTF-8, else its start with a hash of the whole name. */
export function boundedName(name: string, maxBytes: number): string {
  if (Buffer.byteLength(name) <= maxBytes) return name;
  return hashedName(name, { start: name, maxBytes });
}

/**
 * A user's name as part of a file name. Two names never give the same part, also not on a file system that takes
 * upper and lower case, or the forms of a Unicode character, for the same.
 */
export function fileNamePart(name: string): string {
  if (PLAIN_FILE_NAME.test(name) && name.length <= FILE_NAME_PART_BYTES_MAX) return name;
  const start = name.replaceAll(/[^\p{L}\p{M}\p{N}_.-]/gu, '_').replace(/^[.-]/, '_');
  return hashedName(name, { start, maxBytes: FILE_NAME_PART_BYTES_MAX });
}

/** As much of `start` as there is room for, and a hash of `name`. No plain file name has a plus sign. */
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
