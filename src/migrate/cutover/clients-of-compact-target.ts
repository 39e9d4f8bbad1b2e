import { messageOf, TldrError } from '../../core/errors.js';
import type { VectorSource } from '../../store/vector-source.js';
import { targetDescription, type TargetDescription } from '../../store/target-description.js';

/** What clients meet at a target that holds compact vectors only. */
export interface CompactTarget {
  readonly inputDim: number;
  readonly outputDim: number;
  /** The error that a query with a full vector gets; null if it is answered. */
  readonly refusal: string | null;
}

/** Returns what a client's query with a full vector meets at a target; null if the layout is not compact. */
export async function tryFullQuery(target: VectorSource, collection: string): Promise<CompactTarget | null> {
  const description = targetDescription(await target.describe(collection));
  if (description?.layout !== 'compact') return null;
  const { inputDim, outputDim } = description;
  return { inputDim, outputDim, refusal: await refusalOf(target, collection, description) };
}

async function refusalOf(
  target: VectorSource,
  collection: string,
  { vector: vectorName, inputDim }: TargetDescription,
): Promise<string | null> {
  const vector = new Float32Array(inputDim).fill(1 / Math.sqrt(inputDim));
  try {
    await target.search(collection, { vectorName, vector, limit: 1 });
    return null;
  } catch (error) {
    return messageOf(error);
  }
}

/**
 * Checks that a name may lead to a compact target: clients must be known to project their vectors.
 * @throws INVALID_ARGUMENT when the target is compact and the caller does not say so
 */
export async function checkClientsProject(
  target: VectorSource,
  { name, to }: { readonly name: string; readonly to: string },
  clientsProject: boolean | undefined,
): Promise<void> {
  if (clientsProject === true) return;
  const compact = await tryFullQuery(target, to);
  if (compact === null) return;
  throw new TldrError(
    'INVALID_ARGUMENT',
    `"${name}" was not switched: ${clientsMeet(compact, { name, to })}`,
    {
      hint: 'clients-project',
    },
  );
}

/** One line that says what happens to clients that send full vectors. */
export function clientsMeet(
  { inputDim, outputDim, refusal }: CompactTarget,
  { name, to }: { readonly name: string; readonly to: string },
): string {
  const tried =
    refusal === null
      ? `a query of ${inputDim} dimensions was tried and answered, with results that mean nothing`
      : `a query of ${inputDim} dimensions was tried and failed: ${refusal}`;
  return `${to} holds vectors of ${outputDim} dimensions, so clients that send full vectors to "${name}" would get errors; ${tried}`;
}
