import { TldrError } from './errors.js';

/**
 * Refuses a key that no HTTP header can carry, before anything quotes it in an error of its own.
 * @throws INVALID_ARGUMENT, which never says the key
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
