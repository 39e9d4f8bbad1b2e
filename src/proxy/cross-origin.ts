import { headerOf } from './rest-headers.js';

/**
 * Lets web pages read what the proxy answers by itself wherever they may read the database's answers. Whether they
 * may is learnt from those: a database that answers other origins says so in `vary` (Fetch standard, CORS and HTTP
 * caches). Until the first of them pages may read.
 */
export class CrossOrigin {
  #learnt: string | undefined = 'Origin, Access-Control-Request-Method, Access-Control-Request-Headers';
  #vary = this.#learnt;

  /** @param headers of an answer of the database, name and value in turn */
  learn(headers: readonly string[]): void {
    const vary = headerOf(headers, 'vary');
    if (vary === this.#learnt) return;
    this.#learnt = vary;
    // Its answers differ by encoding as well; what the proxy answers is never compressed.
    const names = vary?.split(/, */).filter((name) => name.toLowerCase() !== 'accept-encoding') ?? [];
    this.#vary = names.some((name) => name.toLowerCase() === 'origin') ? names.join(', ') : undefined;
  }

  /** Headers of an answer to a page of this origin, or to another client, name and value in turn. */
  headers(origin: string | undefined): string[] {
    if (this.#vary === undefined) return [];
    const allowed = origin === undefined ? [] : ['access-control-allow-origin', origin];
    return ['vary', this.#vary, ...allowed];
  }
}
