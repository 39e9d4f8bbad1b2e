import { TldrError } from '../core/errors.js';
import type { PermissionRequests, WriteInterceptor, WriteOutcome } from '../store/write-guard.js';
import type { Change, Named, Unnamed } from './protocol.js';

/** How one transport makes requests and reads their answers. */
export interface ChangeSender<Request, Answer> {
  /** With the client's credentials. */
  readonly make: (request: Request) => Promise<Answer>;
  /** The answer to a request for permission gives it. */
  readonly isPermitted: (answer: Answer) => boolean;
  readonly outcomeOf: (answer: Answer) => WriteOutcome;
  readonly isDone: (answer: Answer) => boolean;
  /** The credentials do not open the collection by this name. */
  readonly isDenied: (answer: Answer) => boolean;
  /** There is no such collection. */
  readonly isMissing: (answer: Answer) => boolean;
}

/** A write by a name that was a collection's own when it was looked up. */
interface Owned<Request> {
  readonly collection: string;
  readonly request: Request;
}

type Sendable<Request> = Exclude<Change<Request, never>, { readonly kind: 'other' | 'unnamed' }>;

/** By which name the server accepted a client's credentials. */
export type PermittedBy = 'own' | 'alias';

/** How often a name is looked at anew that an alias got meanwhile. */
const NAME_TRIES = 5;

/**
 * Decides about a write by a name that no alias had. If the name is no collection's either, the write is never sent:
 * an alias of a followed collection could be made before it arrives.
 * @returns the server's answer to the client, 'pass' for a collection's own name, whose answer is for `refuseAlias`,
 * 'again' where an alias has it by now
 * @throws UNAVAILABLE where that happened again and again
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
 * Decides as `sendUnnamed`, and makes the write where the name is a collection's own.
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
 * Asks the server whether it accepts the client's credentials for a write, by the source's own name or else by the
 * alias that the client used. Nothing is read of a body, journalled, looked up or waited for before.
 * @returns by which name it does, or its refusal
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
 * Asks the server before a client reads a refusal of the proxy's own, which may name collections.
 * @returns the server's refusal of the credentials; null where it accepts them, or has no such collection
 */
export async function refusalOfServer<Request, Answer>(
  permission: Request,
  { make, isPermitted, isMissing }: ChangeSender<Request, Answer>,
): Promise<Answer | null> {
  const said = await make(permission);
  return isPermitted(said) || isMissing(said) ? null : said;
}

/**
 * Makes a change of a followed collection: of points through the guard, by the name that the server accepted the
 * client's credentials for; of settings on the source, then on the target, where it exists yet. Both are told by the first
 * of the answers that is no success.
 * @throws what the guard and the connection throw; UNAVAILABLE where an alias was moved meanwhile; INTERNAL for points
 * without a permission
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
    throw new TldrError('INTERNAL', 'a write of points came without a permission');
  return guard.write(collection, touched, async () => {
    const owned = { collection: ownName, request };
    const answer = await (byAlias === null
      ? makeOwned(owned, guard, sender.make)
      : makeNamed(byAlias, guard, sender));
    return { answer, outcome: sender.outcomeOf(answer) };
  });
}

/**
 * Makes a write by a collection's own name. @throws UNAVAILABLE as `refuseAlias`
 */
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
 * To be asked once the server has answered a write by a collection's own name. That name could have become an alias,
 * of a followed collection or from the source to another one, before the write arrived: then nobody is told that it
 * was made.
 * @throws UNAVAILABLE where the name is an alias by now
 */
export async function refuseAlias(name: string, guard: WriteInterceptor): Promise<void> {
  if ((await guard.aliases()).has(name))
    throw new TldrError('UNAVAILABLE', `"${name}" became an alias while it was written to: repeat the write`);
}

/**
 * Makes a request by its client's alias, for credentials that open that alone. It could reach another collection if
 * the alias is moved at that moment: then nobody is told that it was made.
 * @throws UNAVAILABLE where the alias leads elsewhere by now
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
