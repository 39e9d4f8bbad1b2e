import { expectDefined } from '../../core/errors.js';
import { createHash } from 'node:crypto';
import type { PointId } from '../../core/point-id.js';
import type { Partition } from '../../store/collection.js';
import type { VersionBatch } from '../../store/points.js';
import type { StoreKeys } from '../../store/vector-source.js';
import {
  partitionsOf,
  type ComparePointsOptions,
  type PartitionRange,
  type Sides,
} from '../points/compare-points.js';
import type { MigrationPlan } from '../plan/migration.js';
import { repairPoints } from '../points/repair-points.js';

/** Points per block. One digest stands for their versions; if it changes, all of them are compared. */
const BLOCK_POINTS = 256;

/** Ids from `from` to the next block. */
interface Block {
  readonly from: PointId | null;
  /** Digest of ids and versions at the last read. Null if the block must be compared in any case. */
  digest: string | null;
}

interface ReadBlock extends Block {
  readonly changed: boolean;
}

/** Catches a target up with a source that clients write to, pass by pass. */
export interface CatchUpPasses {
  /**
   * Compares the points that may have changed since the previous pass (all points in the first pass), and
   * makes the target equal to what it read. The next pass compares the points that differed again. If a pass
   * finds no difference while nobody writes, all points are equal.
   * @returns the number of points that differed
   */
  pass(): Promise<number>;
  /** True if a pass compares only blocks with new versions. False if every pass compares all points. */
  readonly byVersions: boolean;
}

/** Returns catch-up passes for source and target of a plan. Compares nothing yet. */
export async function openCatchUpPasses(
  plan: MigrationPlan,
  sides: Sides,
  run: ComparePointsOptions = {},
): Promise<CatchUpPasses> {
  const shards = new Map<Partition | undefined, readonly Block[]>();
  for (const key of partitionsOf(plan.sourceSpec)) shards.set(key, [{ from: null, digest: null }]);
  const { keys, changes } = sides.source;
  const versionsOf = async (partition: Partition | undefined): Promise<AsyncIterable<VersionBatch> | null> =>
    (await changes?.versions?.(plan.sourceCollection, { partition, signal: run.signal })) ?? null;
  const byVersions = (await versionsOf(shards.keys().next().value)) !== null;
  const pass = async (): Promise<number> => {
    const ranges: PartitionRange[] = [];
    for (const [partition, before] of shards) {
      // Versions are read before the points: if a write comes in between, the next pass finds its new
      // version.
      const versions = await versionsOf(partition);
      const blocks =
        versions === null
          ? [{ from: null, digest: null, changed: true }]
          : await readBlocks(before, versions, keys);
      shards.set(partition, blocks);
      for (const range of changedRanges(blocks)) ranges.push({ partition, range });
    }
    const differed = (id: PointId, partition: Partition | undefined): void => {
      const block = blockOf(expectDefined(shards.get(partition), 'the blocks of a partition'), id, keys);
      if (block !== undefined) block.digest = null;
    };
    return repairPoints(plan, sides, { ...run, ranges, differed });
  };
  return { pass, byVersions };
}

/** Returns the blocks as they are now: at the same ids as before, and split where a block has grown. */
async function readBlocks(
  before: readonly Block[],
  versions: AsyncIterable<VersionBatch>,
  keys: StoreKeys,
): Promise<ReadBlock[]> {
  const blocks: ReadBlock[] = [];
  let at = 0;
  let from: PointId | null = null;
  let entries: string[] = [];
  let grown = false;
  const close = (): void => {
    const digest = digestOf(entries);
    blocks.push({ from, digest, changed: grown || digest !== before[at]?.digest });
    entries = [];
  };
  for await (const { ids, versions: of } of versions) {
    for (const [i, id] of ids.entries()) {
      for (let next = before[at + 1]; next !== undefined && startsBy(next, id, keys); next = before[at + 1]) {
        close();
        at++;
        from = next.from;
        grown = false;
      }
      if (entries.length >= 2 * BLOCK_POINTS) {
        grown = true;
        close();
        from = id;
      }
      entries.push(`${keys.format(id)} ${expectDefined(of[i], 'the version of a point')}`);
    }
  }
  for (;;) {
    close();
    at++;
    const next = before[at];
    if (next === undefined) return blocks;
    from = next.from;
    grown = false;
  }
}

function startsBy({ from }: Block, id: PointId, { compare }: StoreKeys): boolean {
  return from !== null && compare(from, id) <= 0;
}

function digestOf(entries: readonly string[]): string {
  return createHash('sha256').update(entries.join('\n')).digest('base64');
}

/** Returns the changed blocks as ranges. Neighbouring blocks are joined. */
function changedRanges(blocks: readonly ReadBlock[]): PartitionRange['range'][] {
  const ranges: { from: PointId | null; to: PointId | null }[] = [];
  let open = false;
  blocks.forEach(({ from, changed }, i) => {
    const to = blocks[i + 1]?.from ?? null;
    const last = ranges.at(-1);
    if (changed && open && last !== undefined) last.to = to;
    else if (changed) ranges.push({ from, to });
    open = changed;
  });
  return ranges;
}

/** Returns the last block that starts at or before the id. */
function blockOf(blocks: readonly Block[], id: PointId, keys: StoreKeys): Block | undefined {
  let [low, high] = [0, blocks.length - 1];
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    const block = blocks[middle];
    if (block !== undefined && startsBy(block, id, keys)) low = middle;
    else high = middle - 1;
  }
  return blocks[low];
}
