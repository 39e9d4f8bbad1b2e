import { TldrError } from '../core/errors.js';
import type { PermissionRequests, WriteInterceptor, WriteOutcome } from '../store/write-interceptor.js';
import type { Change, Named, Unnamed } from './protocol.js';

/** Sends requests over one transport and reads their answers. */
export interface ChangeSender<Request, Answer> {
  /** Sends a request with the client's credentials. */
  readonly make: (request: Request) => Promise<Answer>;
  /** Whether the answer to a permission request grants the permission. */
  readonly isPermitted: (answer: Answer) => boolean;
  readonly outcomeOf: (answer: Answer) => WriteOutcome;
  readonly isDone: (answer: Answer) => boolean;
  /** Whether the server refuses the credentials for the collection by this name. */
  readonly isDenied: (answer: Answer) => boolean;
  /** Whether the server has no such collection. */
  readonly isMissing: (answer: Answer) => boolean;
}

/** A write by a name that was a collection's own name at the last lookup. */
interface Owned<Request> {
  readonly collection: string;
  readonly request: Request;
}

type Sendable<Request> = Exclude<Change<Request, never>, { readonly kind: 'other' | 'unnamed' }>;

/** The name by which the server accepted a client's credentials. */
export type PermittedBy = 'own' | 'alias';

/** How often a write is routed again because its name became an alias in the meantime. */
const NAME_TRIES = 5;

/**
 * Decides whether a write may be sent by a name that was no alias. If the name is no collection either, the
 * write is never sent, since an alias of a mirrored collection could be created before it arrives.
 * @returns 'pass' if the name is a collection's own: the caller checks the write's answer with `refuseAlias`;
 * 'again' if the name has become an alias; otherwise the server's answer for the client
 * @throws UNAVAILABLE when the alias is still being moved after several attempts
 */
export async function sendUnnamed<Request, Answer>(
  { name, permission }: Unnamed<Request>,
  { guard, tries }: { readonly guard: WriteInterceptor; readonly tries: number },
  { make, isPermitted }: Pick<ChangeSender<Request, Answer>, 'make' | 'isPermitted'>,
): Promise<'pass' | 'again' | { readonly answer: Answer }> {
  if (guard.isKnown(name)) return 'pass';
  const answer = await make(permission);
  if (!isPermitted(answer)) return { answer };
  if (await guard.isCollection(name)) return 'pass';
  if (tries < NAME_TRIES) return 'again';
  throw new TldrError('UNAVAILABLE', `the alias "${name}" is being moved: repeat the write`);
}

/**
 * Decides as `sendUnnamed` does, and sends the write if the name is a collection's own.
 * @returns the server's answer, or 'again' if the name has become an alias
 * @throws UNAVAILABLE as `sendUnnamed` and `refuseAlias`
 */
export async function makeUnnamed<Request, Answer>(
  change: Unnamed<Request> & { readonly request: Request },
  at: { readonly guard: WriteInterceptor; readonly tries: number },
  sender: Pick<ChangeSender<Request, Answer>, 'make' | 'isPermitted'>,
): Promise<'again' | Answer> {
  const sent = await sendUnnamed(change, at, sender);
  if (sent === 'again') return sent;
  const { name: collection, request } = change;
  return sent === 'pass' ? makeOwned({ collection, request }, at.guard, sender.make) : sent.answer;
}

/**
 * Asks the server whether it accepts the client's credentials for a write: first by the source's own name,
 * then by the alias that the client used. Until then, the proxy reads no body, writes no journal entry and
 * looks up no points.
 * @returns the name that the server accepted, or the server's refusal
 */
export async function askPermission<Request, Answer>(
  { own, alias }: PermissionRequests<Request>,
  { make, isPermitted, isDenied }: ChangeSender<Request, Answer>,
): Promise<PermittedBy | { readonly answer: Answer }> {
  const said = await make(own);
  if (isPermitted(said)) return 'own';
  if (alias === null || !isDenied(said)) return { answer: said };
  const saidToAlias = await make(alias);
  return isPermitted(saidToAlias) ? 'alias' : { answer: saidToAlias };
}

/**
 * Checks a client's credentials before it reads one of the proxy's own refusals, which may name collections.
 * @returns the server's refusal of the credentials; null if the server accepts them or has no such collection
 */
export async function refusalOfServer<Request, Answer>(
  permission: Request,
  { make, isPermitted, isMissing }: ChangeSender<Request, Answer>,
): Promise<Answer | null> {
  const said = await make(permission);
  return isPermitted(said) || isMissing(said) ? null : said;
}

/**
 * Sends a change of a mirrored collection and returns the answer for the client.
 * - A write of points goes through the guard, by the name for which the server accepted the client's
 *   credentials.
 * - A change of settings is made on the source, then on the target if it exists. The client gets the first
 *   answer that is no success, else the source's.
 * @throws the errors of the guard and of the connection; UNAVAILABLE when an alias was moved in the meantime;
 * INTERNAL for points without a permission
 */
export async function sendChange<Request, Answer>(
  change: Sendable<Request>,
  { guard, permittedBy }: { readonly guard: WriteInterceptor; readonly permittedBy: PermittedBy | null },
  sender: ChangeSender<Request, Answer>,
): Promise<Answer> {
  if (change.kind === 'points') return writePoints(change, { guard, permittedBy }, sender);
  const { make, isDone, isDenied, isMissing } = sender;
  if (change.kind === 'elsewhere') {
    const { named, request } = change;
    const answer = await makeOwned({ collection: named.collection, request }, guard, make);
    return isDenied(answer) ? makeNamed(named, guard, sender) : answer;
  }
  const { named } = change;
  const owned = await make(change.source);
  const first = named !== null && isDenied(owned) ? await makeNamed(named, guard, sender) : owned;
  if (!isDone(first)) return first;
  const second = await make(change.target);
  return isDone(second) || isMissing(second) ? first : second;
}

async function writePoints<Request, Answer>(
  {
    named,
    collection,
    touched,
    ownName,
    request,
  }: Extract<Change<Request, never>, { readonly kind: 'points' }>,
  { guard, permittedBy }: { readonly guard: WriteInterceptor; readonly permittedBy: PermittedBy | null },
  sender: ChangeSender<Request, Answer>,
): Promise<Answer> {
  const byAlias = permittedBy === 'alias' ? named : null;
  if (permittedBy !== 'own' && byAlias === null)
    throw new TldrError('INTERNAL', 'no permission was requested before a write of points');
  return guard.write(collection, touched, async () => {
    const owned = { collection: ownName, request };
    const answer = await (byAlias === null
      ? makeOwned(owned, guard, sender.make)
      : makeNamed(byAlias, guard, sender));
    return { answer, outcome: sender.outcomeOf(answer) };
  });
}

/** Sends a write by a collection's own name and returns the answer. @throws UNAVAILABLE as `refuseAlias` */
async function makeOwned<Request, Answer>(
  { collection, request }: Owned<Request>,
  guard: WriteInterceptor,
  make: (request: Request) => Promise<Answer>,
): Promise<Answer> {
  const answer = await make(request);
  await refuseAlias(collection, guard);
  return answer;
}

/**
 * Checks that a name is still no alias. Called after the server has answered a write by a collection's own
 * name. The name could have become an alias before the write arrived: of a mirrored collection, or from the
 * source to another collection. The write may then be in the wrong collection, so the client is not told that
 * it was made.
 * @throws UNAVAILABLE when the name is now an alias
 */
export async function refuseAlias(name: string, guard: WriteInterceptor): Promise<void> {
  if ((await guard.aliases()).has(name))
    throw new TldrError('UNAVAILABLE', `"${name}" became an alias while it was written to: repeat the write`);
}

/**
 * Sends a request by its client's alias, for credentials that are valid for the alias only. If the alias is
 * moved at that moment, the request could reach another collection, so the client is not told that it was
 * made.
 * @throws UNAVAILABLE when the alias now leads to another collection
 */
async function makeNamed<Request, Answer>(
  { alias, collection, request }: Named<Request>,
  guard: WriteInterceptor,
  { make, isDenied }: ChangeSender<Request, Answer>,
): Promise<Answer> {
  const answer = await make(request);
  if (!isDenied(answer) && (await guard.aliases()).get(alias) !== collection)
    throw new TldrError(
      'UNAVAILABLE',
      `the alias "${alias}" was moved away from ${collection} while it was written to: repeat the write`,
    );
  return answer;
}
