/**
 * Returns an address in a form that may be shown: everything before the last "@" (user and password) is
 * masked. It also works on invalid addresses, because error messages quote them.
 */
export function maskAddress(text: string): string {
  return text.replace(/^([a-z][a-z0-9+.-]*:\/\/)?.*@/is, '$1********@');
}
