import { headerOf } from './headers.js';

/**
 * Lets web pages read the proxy's own answers if they may read the database's answers. The proxy learns this
 * from those answers: a database that allows other origins says so in `vary` (Fetch standard, CORS and HTTP
 * caches). Until the first answer, pages may read.
 */
export class CrossOrigin {
  #vary: string | undefined = 'Origin, Access-Control-Request-Method, Access-Control-Request-Headers';

  /** @param headers names and values in turn, from an answer of the database */
  learn(headers: readonly string[]): void {
    this.#vary = headerOf(headers, 'vary');
  }

  /**
   * Returns headers for an answer to a page of this origin, or to another client: names and values in turn.
   */
  headers(origin: string | undefined): string[] {
    // The proxy's own answers are never compressed, so they do not vary by encoding.
    const names = this.#vary?.split(/, */).filter((name) => name.toLowerCase() !== 'accept-encoding') ?? [];
    if (!names.some((name) => name.toLowerCase() === 'origin')) return [];
    const allowed = origin === undefined ? [] : ['access-control-allow-origin', origin];
    return ['vary', names.join(', '), ...allowed];
  }
}
