import { TldrError } from '../../core/errors.js';
import type { Aliases, PermissionRequests, WriteInterceptor } from '../../store/write-guard.js';
import type { RestAnswer, RestHead, RestRequest } from '../protocol.js';
import type { WholeAnswer } from './upstream.js';
import type { RewriterPool } from '../rewriter-pool.js';
import {
  askPermission,
  refusalOfServer,
  refuseAlias,
  sendChange,
  sendUnnamed,
  type ChangeSender,
  type PermittedBy,
} from '../send-change.js';

/** A request that may change something, as the exchange that it belongs to lets it be handled. */
export interface ChangingRequest {
  readonly head: RestHead;
  readonly guard: WriteInterceptor;
  /** Rewriting by the names as they are now. */
  readonly renewed: () => RewriterPool;
  /** With the client's credentials. */
  readonly make: (request: RestRequest) => Promise<WholeAnswer>;
  /** The same for a request that the client made none of: its body is always JSON. */
  readonly ask: (request: RestRequest) => Promise<WholeAnswer>;
  /** Nothing of the body is to come any more. */
  readonly hasCome: () => boolean;
  readonly wholeBody: () => Promise<Uint8Array>;
  /** Goes the way of a request that nobody follows; what must be over before its client gets an answer can be given. */
  readonly route: (whole?: Uint8Array, beforeAnswer?: () => Promise<void>) => Promise<void>;
  readonly answer: (answer: RestAnswer) => void;
  readonly give: (answer: WholeAnswer) => void;
  /** How it is counted. */
  readonly count: (kind: 'pass' | 'follow') => void;
}

/** What a change is routed by. */
interface Routed {
  readonly rewriting: RewriterPool;
  readonly aliases: Aliases;
  readonly permission: PermissionRequests<RestRequest> | null;
}

/** How far a change has come before it is routed, or routed anew. */
interface Progress {
  readonly tries: number;
  /** The body, where it was read already. */
  readonly whole?: Uint8Array;
  readonly given?: Pick<Routed, 'permission'> & { readonly permittedBy: PermittedBy | null };
}

/** What may change something goes by the names as they are now. */
export async function handleRestChange(
  request: ChangingRequest,
  progress: Progress = { tries: 0 },
): Promise<void> {
  const { head, guard } = request;
  const { whole, tries } = progress;
  const aliases = await guard.aliases();
  const rewriting = request.renewed();
  const change = rewriting.routeRestChange(head, aliases);
  const sender = senderFor(request, rewriting);
  if (change.kind === 'answer') request.answer(change);
  else if (change.kind === 'refused') {
    const refusal = await refusalOfServer(change.permission, { ...sender, make: request.ask });
    if (refusal === null) request.answer(change.refusal);
    else request.give(refusal);
  } else if (change.kind === 'read') {
    const { permission } = change;
    await follow(request, { rewriting, aliases, permission }, progress);
  } else if (change.kind === 'other' || rewriting.routeRest(head).kind !== 'pass') await request.route(whole);
  else {
    const sent = await sendUnnamed<RestRequest, WholeAnswer>(change, { guard, tries }, sender);
    if (sent === 'pass') await request.route(whole, () => refuseAlias(change.name, guard));
    else if (sent === 'again') await handleRestChange(request, { ...progress, tries: tries + 1 });
    else request.give(sent.answer);
  }
}

/**
 * A change of a followed collection goes to its end once it was sent, whether its client waits or not. Its body is read
 * once it is permitted. What its name means when all of the body has come is what counts.
 */
async function follow(request: ChangingRequest, routed: Routed, progress: Progress): Promise<void> {
  const { head, guard } = request;
  const { rewriting, aliases, permission } = routed;
  const sender = senderFor(request, rewriting);
  const permittedBy = await permitted(permission, progress.given, sender);
  if (typeof permittedBy === 'object' && permittedBy !== null) {
    request.give(permittedBy.answer);
    return;
  }
  const hasCome = progress.whole !== undefined || request.hasCome();
  const whole = progress.whole ?? (await request.wholeBody());
  if (!hasCome) {
    await handleRestChange(request, { ...progress, whole, given: { permission, permittedBy } });
    return;
  }
  const { result: change, body } = await rewriting.run({ kind: 'rest-change', head, body: whole, aliases });
  if (change.kind === 'answer') {
    request.answer(change);
    return;
  }
  // It is read by the head, the aliases and the collections that its route was found by.
  if (change.kind === 'unnamed')
    throw new TldrError('INTERNAL', 'a name changed its meaning while it was read');
  const isServed = (): boolean => rewriting.routeRest(head).kind !== 'pass';
  if (change.kind === 'other' || (change.kind === 'elsewhere' && isServed())) {
    await request.route(body);
    return;
  }
  request.count(change.kind === 'elsewhere' ? 'pass' : 'follow');
  request.give(await sendChange<RestRequest, WholeAnswer>(change, { guard, permittedBy }, sender));
}

/** Asks for permission, but never twice for the same one. */
async function permitted(
  permission: Routed['permission'],
  given: Progress['given'],
  sender: ChangeSender<RestRequest, WholeAnswer>,
): Promise<PermittedBy | null | { readonly answer: WholeAnswer }> {
  if (permission === null) return null;
  const before = given?.permission;
  const isGiven = before?.own.url === permission.own.url && before.alias?.url === permission.alias?.url;
  return isGiven && given !== undefined ? given.permittedBy : askPermission(permission, sender);
}

function senderFor(
  { make }: ChangingRequest,
  rewriting: RewriterPool,
): ChangeSender<RestRequest, WholeAnswer> {
  return {
    make,
    isPermitted: ({ status, body }) => rewriting.isRestPermitted(status, body),
    outcomeOf: ({ status, body }) => rewriting.restOutcome(status, body),
    isDone: ({ status }) => status < 300,
    isDenied: ({ status }) => status === 403,
    isMissing: ({ status }) => status === 404,
  };
}
