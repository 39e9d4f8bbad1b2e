/**
 * An address as it may be shown: what stands before the last "@", where user and password are, is masked. Works on
 * text that is no valid address, too, since that is what error messages quote.
 */
export function maskAddress(text: string): string {
  return text.replace(/^([a-z][a-z0-9+.-]*:\/\/)?.*@/is, '$1********@');
}
