import { setTimeout as sleep } from 'node:timers/promises';

/**
 * `fetch` over a connection of its own, which ends with the answer. A server closes an idle connection after some
 * seconds; on a busy machine the client may learn of it only after it sent its next request there, which then fails.
 */
export function fetchOnce(url: string, init: RequestInit = {}): Promise<Response> {
  const headers = new Headers(init.headers);
  headers.set('connection', 'close');
  return fetch(url, { ...init, headers });
}

const ATTEMPTS = 5;

/**
 * `fetchOnce` for requests that may be made twice, sent to a database and not to the product. A server also closes a
 * new connection whose request is late, as on a machine that stood still for seconds: then the request is made again.
 * @throws what `fetch` throws for any other reason, such as an address where nobody listens
 */
export async function fetchAgain(url: string, init: RequestInit = {}): Promise<Response> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await fetchOnce(url, init);
    } catch (error) {
      if (attempt === ATTEMPTS || !isClosed(error)) throw error;
      // A machine that stands still stands still for a while.
      await sleep(200 * attempt);
    }
  }
}

/** Whether a connection ended before its answer. */
function isClosed(error: unknown): boolean {
  if (!(error instanceof Error) || !(error.cause instanceof Error)) return false;
  const { code } = error.cause as NodeJS.ErrnoException;
  return code === 'UND_ERR_SOCKET' || code === 'ECONNRESET' || code === 'EPIPE';
}

/** Asks again for as long as the answer is "no room now, repeat it": until a process has seen that others hung up. */
export async function fetchGranted(url: string, init: RequestInit): Promise<Response> {
  for (;;) {
    const answer = await fetchOnce(url, init);
    if (answer.status !== 503 || answer.headers.get('retry-after') === null) return answer;
    await answer.arrayBuffer();
    await sleep(50);
  }
}
