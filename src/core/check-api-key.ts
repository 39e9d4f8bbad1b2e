import { TldrError } from './errors.js';

/**
 * Checks that an HTTP header can carry the API key. Call it before code whose errors may quote the key.
 * @throws INVALID_ARGUMENT when a character is not printable ASCII; the message does not contain the key
 */
export function checkApiKey(apiKey: string): void {
  const at = apiKey.search(/[^\x21-\x7e]/);
  if (at < 0) return;
  const where = at === apiKey.length - 1 ? 'ends in' : `holds, as character ${at + 1},`;
  throw new TldrError(
    'INVALID_ARGUMENT',
    `the API key ${where} a character that is not printable ASCII, such as a line break: check where it is set`,
  );
}
