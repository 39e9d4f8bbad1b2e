import { TldrError } from '../../core/errors.js';
import type { Aliases, PermissionRequests, WriteInterceptor } from '../../store/write-interceptor.js';
import type { ReadHead, RestAnswer, RestRequest, RestRoute } from '../protocol.js';
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

/** A request that may change something, with the operations of its exchange. */
export interface ChangingRequest {
  readonly head: ReadHead;
  readonly guard: WriteInterceptor;
  /** Returns the rewriter for the current names and aliases. */
  readonly renewed: () => RewriterPool;
  /** Sends a request with the client's credentials. */
  readonly make: (request: RestRequest) => Promise<WholeAnswer>;
  /** Sends a request of the proxy's own with the client's credentials. Its body is always JSON. */
  readonly ask: (request: RestRequest) => Promise<WholeAnswer>;
  /** Returns whether the whole body has arrived. */
  readonly hasCome: () => boolean;
  readonly wholeBody: () => Promise<Uint8Array>;
  /** Handles the request as one that is not mirrored. The client's answer waits for `beforeAnswer`. */
  readonly handle: (route: RestRoute, options: HandleOptions) => Promise<void>;
  readonly answer: (answer: RestAnswer) => void;
  readonly give: (answer: WholeAnswer) => void;
  /** Sets the kind under which the metrics count the request. */
  readonly count: (kind: 'pass' | 'follow') => void;
}

interface HandleOptions {
  /** The body, if it was read already. */
  readonly whole?: Uint8Array | undefined;
  readonly beforeAnswer?: () => Promise<void>;
}

/** The state by which a change was routed. */
interface Routed {
  readonly rewriting: RewriterPool;
  readonly aliases: Aliases;
  readonly permission: PermissionRequests<RestRequest> | null;
}

/** The progress of a change before it is routed, or routed again. */
interface Progress {
  readonly tries: number;
  /** The body, if it was read already. */
  readonly whole?: Uint8Array;
  readonly given?: Pick<Routed, 'permission'> & { readonly permittedBy: PermittedBy | null };
}

/** Handles a request that may change something, by the names and aliases as they are now. */
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
  } else {
    const route = rewriting.routeRest(head);
    if (change.kind === 'other' || route.kind !== 'pass') {
      await request.handle(route, { whole });
      return;
    }
    const sent = await sendUnnamed<RestRequest, WholeAnswer>(change, { guard, tries }, sender);
    if (sent === 'pass')
      await request.handle(route, { whole, beforeAnswer: () => refuseAlias(change.name, guard) });
    else if (sent === 'again') await handleRestChange(request, { ...progress, tries: tries + 1 });
    else request.give(sent.answer);
  }
}

/**
 * Handles a change of a mirrored collection. The body is read only after the server has accepted the client's
 * credentials. If the name changes its meaning while the body arrives, the later meaning counts. Once the
 * change was sent, it is completed even if its client hangs up.
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
  // Cannot happen: the change is read with the same head, aliases and collections as its route.
  if (change.kind === 'unnamed')
    throw new TldrError('INTERNAL', 'a name changed its meaning while it was read');
  if (change.kind === 'other' || change.kind === 'elsewhere') {
    const route = rewriting.routeRest(head);
    if (change.kind === 'other' || route.kind !== 'pass') {
      await request.handle(route, { whole: body });
      return;
    }
  }
  request.count(change.kind === 'elsewhere' ? 'pass' : 'follow');
  request.give(await sendChange<RestRequest, WholeAnswer>(change, { guard, permittedBy }, sender));
}

/** Asks the server for permission, unless it was already given for the same request. */
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
