import type { Log } from '../../../src/core/run-options.js';
import type { Grpc } from '../transport/grpc.js';
import type { Rest } from '../transport/rest.js';

/** The connections and settings of a store. */
export interface Connection {
  readonly rest: Rest;
  readonly grpc: Grpc;
  readonly version: string;
  readonly endpoint: string;
  /** Longest wait for an index without visible progress. */
  readonly indexingStallMs: number;
  readonly log: Log | undefined;
  /** Returns the number of calls that rate limits have refused so far. */
  readonly refusals: () => number;
}
