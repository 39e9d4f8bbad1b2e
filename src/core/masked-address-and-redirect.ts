import { type Hint, TldrError } from './errors.js';

/**
 * Returns an address in a form that may be shown: everything before the last "@" (user and password), and a
 * password among its options, is masked. It also works on invalid addresses, because error messages quote them.
 */
export function maskAddress(text: string): string {
  return text
    .replace(/^([a-z][a-z0-9+.-]*:\/\/)?.*@/is, '$1********@')
    .replaceAll(/([?&]password=)[^&]*/gi, '$1********');
}

/** A server's answer that sends its client to another address. */
export interface Redirect {
  /** The address that the request went to. */
  readonly from: string;
  readonly status: number;
  readonly location: string | undefined;
  /** What holds the server's address: the words for it, or the key of the advice. */
  readonly setting: string | { readonly hint: Hint };
}

/** A redirect is never followed: the API key and the body would go wherever it points. */
export class RedirectError extends TldrError {
  constructor({ from, status, location, setting }: Redirect) {
    const to = location === undefined ? '(no location)' : shownAddress(location, from);
    const message = `${from} redirects (HTTP ${status}) to ${to}, and redirects are not followed, as they would carry the API key there`;
    if (typeof setting === 'string')
      super(
        'INVALID_ARGUMENT',
        `${message}. If that address is the right one, set it as the server's address (${setting})`,
      );
    else super('INVALID_ARGUMENT', message, setting);
  }
}

/** Whether an HTTP status redirects the client. 304 does not: it says that the client's copy is valid. */
export function isRedirect(status: number): boolean {
  return status >= 300 && status <= 399 && status !== 304;
}

/** An address without user, password and query string, all of which may hold secrets. */
function shownAddress(location: string, from: string): string {
  const base = URL.canParse(from) ? from : undefined;
  if (!URL.canParse(location, base)) return maskAddress(location);
  const { protocol, host, pathname } = new URL(location, base);
  return `${protocol}//${host}${pathname}`;
}
