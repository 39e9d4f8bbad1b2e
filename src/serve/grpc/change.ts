import type { WriteInterceptor } from '../../store/write-interceptor.js';
import type { CallStatus, GrpcCall, GrpcChange, GrpcRewrite } from '../protocol.js';
import type { GrpcAnswer } from './make-call.js';
import { grpcSender } from './sender.js';
import type { Rewritten } from '../rewrite-threads.js';
import type { RewriterPool } from '../rewriter-pool.js';
import { askPermission, refusalOfServer, makeUnnamed, sendChange } from '../send-change.js';

/** A call that may change something, with the operations of its exchange. */
export interface ChangingCall {
  readonly path: string;
  readonly guard: WriteInterceptor;
  /** Returns the rewriter for the current names and aliases. */
  readonly renewed: () => RewriterPool;
  /** Makes a call with the client's credentials. */
  readonly make: (call: GrpcCall) => Promise<GrpcAnswer>;
  /** Handles the message as a call that is not mirrored. `made`: its rewrite, if it was already made. */
  readonly rewrite: (message: Uint8Array, made?: Rewritten<GrpcRewrite>) => Promise<void>;
  readonly refuse: (status: CallStatus) => void;
  readonly give: (answer: GrpcAnswer) => void;
  /** Sets the kind under which the metrics count the call. */
  readonly count: (kind: 'answer' | 'pass' | 'follow') => void;
}

/**
 * Handles a call that may change something, by the names and aliases as they are now. Once a change of a
 * mirrored collection was sent, it is completed even if its client hangs up. Before the server has accepted
 * the client's credentials, only the collection's name is read from the message.
 */
export async function handleGrpcChange(call: ChangingCall, sent: Uint8Array, tries = 0): Promise<void> {
  const { path, guard } = call;
  const aliases = await guard.aliases();
  const rewriting = call.renewed();
  const sender = grpcSender(rewriting, call.make);
  const refuse = (status: CallStatus): void => {
    call.count('answer');
    call.refuse(status);
  };
  const route = rewriting.routeGrpcChange(path, sent, aliases);
  if (route.kind === 'status') {
    refuse(route);
    return;
  }
  if (route.kind === 'refused') {
    const refusal = await refusalOfServer(route.permission, sender);
    if (refusal === null) refuse(route.refusal);
    else call.give(refusal);
    return;
  }
  if (route.kind === 'other') {
    await call.rewrite(sent);
    return;
  }
  const permission = route.kind === 'read' ? route.permission : null;
  const permittedBy = permission === null ? null : await askPermission(permission, sender);
  if (typeof permittedBy === 'object' && permittedBy !== null) {
    call.give(permittedBy.answer);
    return;
  }
  const { result: change, body } = await rewriting.run({ kind: 'grpc-change', path, body: sent, aliases });
  if (change.kind === 'unnamed' || change.kind === 'elsewhere')
    await writeElsewhere(change, body, { call, rewriting, tries });
  else if (change.kind === 'other') await call.rewrite(body);
  else if (change.kind === 'status') refuse(change);
  else {
    call.count('follow');
    call.give(await sendChange<GrpcCall, GrpcAnswer>(change, { guard, permittedBy }, sender));
  }
}

/**
 * Handles a write to a collection that is not mirrored. If the collection is served, the write is rewritten.
 */
async function writeElsewhere(
  change: Extract<GrpcChange, { readonly kind: 'unnamed' | 'elsewhere' }>,
  message: Uint8Array,
  {
    call,
    rewriting,
    tries,
  }: { readonly call: ChangingCall; readonly rewriting: RewriterPool; readonly tries: number },
): Promise<void> {
  const { path, guard } = call;
  const sender = grpcSender(rewriting, call.make);
  const made = await rewriting.run({ kind: 'grpc', path, body: message });
  const { body } = made;
  const request = { path, message: body };
  call.count('pass');
  if (made.result.kind !== 'pass') await call.rewrite(body, made);
  else if (change.kind === 'elsewhere') {
    const named = { ...change.named, request };
    const at = { guard, permittedBy: null };
    call.give(await sendChange<GrpcCall, GrpcAnswer>({ ...change, named }, at, sender));
  } else {
    const answer = await makeUnnamed<GrpcCall, GrpcAnswer>({ ...change, request }, { guard, tries }, sender);
    if (answer === 'again') await handleGrpcChange(call, body, tries + 1);
    else call.give(answer);
  }
}
