import type { Log } from '../../../src/core/run.js';
import type { Grpc } from '../transport/grpc.js';
import type { Rest } from '../transport/rest.js';

/** What the store's calls go over. */
export interface Connection {
  readonly rest: Rest;
  readonly grpc: Grpc;
  readonly version: string;
  readonly endpoint: string;
  /** Longest wait for an index that does not get on. */
  readonly indexingStallMs: number;
  readonly log: Log | undefined;
  /** Calls turned away so far as too many. */
  readonly refusals: () => number;
}
