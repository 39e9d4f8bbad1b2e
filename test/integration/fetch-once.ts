/**
 * `fetch` over a connection of its own, which ends with the answer. A server closes an idle connection after some
 * seconds; on a busy machine the client may learn of it only after it sent its next request there, which then fails.
 */
export function fetchOnce(url: string, init: RequestInit = {}): Promise<Response> {
  const headers = new Headers(init.headers);
  headers.set('connection', 'close');
  return fetch(url, { ...init, headers });
}
