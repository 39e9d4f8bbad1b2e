import { isTldrError, TldrError } from '../../core/errors.js';

/** Options of `trainEncoder` whose flags are not simply their names. */
const FLAGS: Readonly<Record<string, string>> = {
  batchSize: '--batch',
  compactDistance: '--compact-distance',
  heldOut: '--held-out',
  learningRate: '--lr',
  nNeighbors: '--k',
};
const SAME = ['budget', 'epochs', 'lambda', 'perplexity', 'ship', 'steps'];

/** An error that begins with the name of an option, beginning with its flag; any other as it is. */
export function namingFlags(error: unknown): unknown {
  if (!isTldrError(error, 'INVALID_ARGUMENT')) return error;
  const name = /^(\w+): /.exec(error.message)?.[1] ?? '';
  const flag = SAME.includes(name) ? `--${name}` : FLAGS[name];
  if (flag === undefined) return error;
  return new TldrError(error.code, flag + error.message.slice(name.length), { cause: error });
}
