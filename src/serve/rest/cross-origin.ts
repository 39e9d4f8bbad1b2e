import { headerOf } from './headers.js';

/**
 * Lets web pages read what the proxy answers by itself wherever they may read the database's answers. Whether they
 * may is learnt from those: a database that answers other origins says so in `vary` (Fetch standard, CORS and HTTP
 * caches). Until the first of them pages may read.
 */
export class CrossOrigin {
  #vary: string | undefined = 'Origin, Access-Control-Request-Method, Access-Control-Request-Headers';

  /** @param headers of an answer of the database, name and value in turn */
  learn(headers: readonly string[]): void {
    this.#vary = headerOf(headers, 'vary');
  }

  /** Headers of an answer to a page of this origin, or to another client, name and value in turn. */
  headers(origin: string | undefined): string[] {
    // The database's answers differ by encoding as well; what the proxy answers is never compressed.
    const names = this.#vary?.split(/, */).filter((name) => name.toLowerCase() !== 'accept-encoding') ?? [];
    if (!names.some((name) => name.toLowerCase() === 'origin')) return [];
    const allowed = origin === undefined ? [] : ['access-control-allow-origin', origin];
    return ['vary', names.join(', '), ...allowed];
  }
}
