import type { ServedCollection } from '../../../src/store/served.js';
import { Refusal, type StagePlace } from './rules.js';

/** @throws Refusal in the server's words when clients may not count or search exactly */
export function refuseExact({ allowsExact }: ServedCollection): void {
  if (!allowsExact) throw new Refusal(400, 'Bad request: Exact search disabled!. Help: Set exact=false.');
}

/**
 * Checks a stage of a query in the same way. The server does not check prefetches of a request for groups.
 */
export function refuseExactStage(
  exact: boolean,
  { depth, grouped }: Pick<StagePlace, 'depth' | 'grouped'>,
  served: ServedCollection,
): void {
  if (exact && !(grouped && depth > 0)) refuseExact(served);
}
