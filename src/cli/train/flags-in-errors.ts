import { isTldrError, TldrError } from '../../core/errors.js';

/** Flags of the `trainEncoder` options whose names differ from their flags. */
const FLAGS: Readonly<Record<string, string>> = {
  batchSize: '--batch',
  compactDistance: '--compact-distance',
  heldOut: '--held-out',
  learningRate: '--lr',
  nNeighbors: '--k',
  storedAs: '--for',
};
const SAME = ['budget', 'epochs', 'lambda', 'perplexity', 'ship', 'steps'];

/**
 * Returns an error that begins with an option's name with that option's flag instead; other errors unchanged.
 */
export function namingFlags(error: unknown): unknown {
  if (!isTldrError(error, 'INVALID_ARGUMENT')) return error;
  const name = /^(\w+): /.exec(error.message)?.[1] ?? '';
  const flag = SAME.includes(name) ? `--${name}` : FLAGS[name];
  if (flag === undefined) return error;
  return new TldrError(error.code, flag + error.message.slice(name.length), { cause: error });
}
