import type { ServedCollection } from '../../../src/store/served.js';
import { Refusal, type StagePlace } from './rules.js';

/** @throws Refusal in the server's words if clients may not count or search exactly */
export function refuseExact({ allowsExact }: ServedCollection): void {
  if (!allowsExact) throw new Refusal(400, 'Bad request: Exact search disabled!. Help: Set exact=false.');
}

/** The same for a stage of a query. The server does not look into the prefetches of a request for groups. */
export function refuseExactStage(
  exact: boolean,
  { depth, grouped }: Pick<StagePlace, 'depth' | 'grouped'>,
  served: ServedCollection,
): void {
  if (exact && !(grouped && depth > 0)) refuseExact(served);
}
