import type { Change, WriteGuard } from '../core/followed.js';

/** How one transport makes requests and reads their answers. */
export interface ChangeSender<Request, Answer> {
  readonly make: (request: Request) => Promise<Answer>;
  /** All that was asked for has been applied. */
  readonly isApplied: (answer: Answer) => boolean;
  readonly isDone: (answer: Answer) => boolean;
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
  { make, isApplied, isDone, isMissing }: ChangeSender<Request, Answer>,
): Promise<Answer> {
  if (change.kind === 'other' || guard === undefined) throw new Error('a change that nobody follows');
  if (change.kind === 'points')
    return guard.write(change.collection, change.touched, async () => {
      const answer = await make(change.request);
      return { answer, applied: isApplied(answer) };
    });
  const first = await make(change.source);
  if (!isDone(first)) return first;
  const second = await make(change.target);
  return isDone(second) || isMissing(second) ? first : second;
}
