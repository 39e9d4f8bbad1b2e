import { TldrError } from '../core/errors.js';
import type { Change, Named, WriteGuard } from '../core/followed.js';

/** How one transport makes requests and reads their answers. */
export interface ChangeSender<Request, Answer> {
  readonly make: (request: Request) => Promise<Answer>;
  /** All that was asked for has been applied. */
  readonly isApplied: (answer: Answer) => boolean;
  readonly isDone: (answer: Answer) => boolean;
  /** The credentials do not open the collection by this name. */
  readonly isDenied: (answer: Answer) => boolean;
  /** There is no such collection. */
  readonly isMissing: (answer: Answer) => boolean;
}

/**
 * Makes a change of a followed collection: of points through the guard; of settings on the source, then on the target,
 * where it exists yet. Both are told by the first of the answers that is no success.
 * @throws what the guard and the connection throw
 */
export async function sendChange<Request, Answer>(
  change: Change<Request, never>,
  guard: WriteGuard | undefined,
  sender: ChangeSender<Request, Answer>,
): Promise<Answer> {
  if (change.kind === 'other' || guard === undefined) throw new Error('a change that nobody follows');
  const { make, isApplied, isDone, isMissing } = sender;
  const { named } = change;
  if (change.kind === 'points')
    return guard.write(change.collection, change.touched, async () => {
      const answer = await makeNamed(change.request, named, { guard, sender });
      return { answer, applied: isApplied(answer) };
    });
  const first = await makeNamed(change.source, named, { guard, sender });
  if (!isDone(first)) return first;
  const second = await make(change.target);
  return isDone(second) || isMissing(second) ? first : second;
}

/**
 * Makes a request by the source's own name, or by its client's alias where the credentials open that alone. Only the
 * second could reach another collection, if the alias is moved at that moment: then nobody is told that it was made.
 * @throws UNAVAILABLE where the alias leads elsewhere by now
 */
async function makeNamed<Request, Answer>(
  request: Request,
  named: Named<Request> | null,
  parts: { readonly guard: WriteGuard; readonly sender: ChangeSender<Request, Answer> },
): Promise<Answer> {
  const { guard, sender } = parts;
  const answer = await sender.make(request);
  if (named === null || !sender.isDenied(answer)) return answer;
  const { alias, collection } = named;
  const again = await sender.make(named.request);
  if (!sender.isDenied(again) && (await guard.aliases()).get(alias) !== collection)
    throw new TldrError(
      'UNAVAILABLE',
      `the alias "${alias}" was moved away from ${collection} while it was written to: repeat the write`,
    );
  return again;
}
