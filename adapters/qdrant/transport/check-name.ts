import { TldrError } from '../../../src/core/errors.js';

/** Half of a surrogate pair. UTF-8 cannot hold it, so the server would get another name. */
const LONE_SURROGATE = /\p{Surrogate}/u;

/** @throws INVALID_ARGUMENT for a name that no request can carry unchanged */
export function checkName(what: string, name: string): void {
  if (LONE_SURROGATE.test(name))
    throw new TldrError(
      'INVALID_ARGUMENT',
      `${what} ${JSON.stringify(name)} holds half of a surrogate pair, which UTF-8 cannot express: correct the name`,
    );
}

/** @throws INVALID_ARGUMENT for a name that no address can hold */
export function checkCollectionName(name: string): void {
  checkName('the collection name', name);
  // HTTP clients resolve these as steps in the path, even if they are escaped.
  if (name === '' || name === '.' || name === '..')
    throw new TldrError(
      'INVALID_ARGUMENT',
      `"${name}" cannot be used as the name of a collection, since no address can hold it: give another name`,
    );
}
