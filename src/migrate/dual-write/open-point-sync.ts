import { TldrError } from '../../core/errors.js';
import { componentBytesOf } from '../../store/vector-number-format.js';
import { hiddenVectorOf, targetDescription } from '../../store/target-description.js';
import { PointSync, type SyncSides } from './point-sync.js';

interface SyncedCollections extends Omit<
  SyncSides,
  'identity' | 'leftOut' | 'componentBytes' | 'partitions'
> {
  readonly sourceCollection: string;
  readonly targetCollection: string;
}

/**
 * Returns a point sync to an existing target, as the target's metadata describes it.
 * @throws MISMATCH when the target has another source or encoder, and errors of reading the collections
 */
export async function openPointSync(collections: SyncedCollections): Promise<PointSync> {
  const { source, target, encoder, sourceCollection, targetCollection } = collections;
  await collections.checkNames?.('recently');
  const targetSpec = await target.describe(targetCollection);
  const description = targetDescription(targetSpec);
  if (description?.source !== sourceCollection || description.encoder !== encoder.fingerprint)
    throw new TldrError(
      'MISMATCH',
      `${targetCollection} was not made from ${sourceCollection} with this encoder`,
    );
  const sourceSpec = await source.describe(sourceCollection);
  await collections.checkNames?.('now');
  const identity = {
    sourceEndpoint: source.endpoint,
    sourceCollection,
    targetEndpoint: target.endpoint,
    targetCollection,
    vectorName: description.vector,
    compactName: description.compact,
    layout: description.layout,
    encoderFingerprint: description.encoder,
  };
  const componentBytes = componentBytesOf(targetSpec, description.compact);
  const leftOut = hiddenVectorOf(sourceSpec, description.vector);
  const { partitions } = sourceSpec;
  return new PointSync({ ...collections, identity, leftOut, componentBytes, partitions });
}
