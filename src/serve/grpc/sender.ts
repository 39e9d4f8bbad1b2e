import type { GrpcCall } from '../protocol.js';
import type { GrpcAnswer } from './make-call.js';
import { CODE } from './failures.js';
import type { RewriterPool } from '../rewriter-pool.js';
import type { ChangeSender } from '../send-change.js';

/** Returns the sender of changes for gRPC. */
export function grpcSender(
  rewriting: RewriterPool,
  make: (call: GrpcCall) => Promise<GrpcAnswer>,
): ChangeSender<GrpcCall, GrpcAnswer> {
  return {
    make,
    isPermitted: ({ end }) => rewriting.isGrpcPermitted(Number(end.status), end.message),
    outcomeOf: ({ end, message }) => (end.status === '0' ? rewriting.grpcOutcome(message) : 'unknown'),
    isDone: ({ end }) => end.status === '0',
    isDenied: ({ end }) => end.status === String(CODE.denied),
    isMissing: ({ end }) => end.status === String(CODE.notFound),
  };
}
