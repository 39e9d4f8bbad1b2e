import { TldrError } from '../../core/errors.js';
import type { MigrationState, RangeProgress, Share } from './migration-state.js';
import type { StateLocation } from './location.js';

/** The shares a record is split into; none where one runner copies everything. */
export function sharesOf({ split }: MigrationState): Share[] {
  return split === undefined ? [] : Array.from({ length: split }, (_, i) => ({ index: i + 1, of: split }));
}

/** What a share copies: every of-th range, from the beginning. */
export function shareOf(record: MigrationState, { index, of }: Share): MigrationState {
  const ranges = record.ranges.filter((_, i) => i % of === index - 1).map((range) => ({ ...range }));
  const part = { ...record, ranges };
  delete part.split;
  delete part.load;
  return part;
}

/** The record with the progress of all its shares, as it is at this moment; nothing is written. */
export async function wholeRecord(record: MigrationState, place: StateLocation): Promise<MigrationState> {
  const ranges = [...record.ranges];
  for (const share of sharesOf(record)) {
    const part = place.share(share);
    const progress = (await part.read())?.ranges;
    progress?.forEach((range, j) => {
      const i = j * share.of + share.index - 1;
      if (!sameRange(range, ranges[i]))
        throw new TldrError(
          'MISMATCH',
          `${part.label} is not a part of ${place.label}: it counts other ranges, as an earlier migration may have left it. Make sure that no worker runs by it, then remove it: what it counts as copied is copied again, nothing else is lost`,
        );
      ranges[i] = range;
    });
  }
  return { ...record, ranges };
}

function sameRange(a: RangeProgress, b: RangeProgress | undefined): boolean {
  const text = (range: RangeProgress): string =>
    JSON.stringify([range.shardKey?.kind, range.shardKey?.value, range.from, range.to]);
  return b !== undefined && text(a) === text(b);
}

/**
 * Makes one record of the shares again; the caller holds the record, and this every share for as long as it takes.
 * @throws ALREADY_EXISTS while a worker copies one
 */
export async function joinShares(record: MigrationState, place: StateLocation): Promise<MigrationState> {
  const shares = sharesOf(record).map((share) => place.share(share));
  const unlocks: (() => Promise<void>)[] = [];
  try {
    for (const share of shares) unlocks.push((await share.lock()).unlock);
    const { split, ...joined } = await wholeRecord(record, place);
    // The shares go last: until then a crash leaves everything to be joined again, or ignored.
    if (split !== undefined) await place.write(joined);
    for (const share of shares) await share.remove();
    return joined;
  } finally {
    for (const unlock of unlocks) await unlock();
  }
}

/** Splits a record anew; the caller holds it, and nobody copies. */
export async function splitRecord(
  record: MigrationState,
  place: StateLocation,
  workers: number,
): Promise<MigrationState> {
  const split = { ...record, split: workers };
  // Left over where a crash cut off joining them: old news.
  for (const share of sharesOf(split)) await place.share(share).remove();
  await place.write(split);
  return split;
}

/** Who works on a migration, in words, or null: on all of it, or on its shares. */
export async function workingOn(place: StateLocation): Promise<string | null> {
  const holder = await place.holder();
  if (holder !== null) return holder;
  const record = await place.read();
  return record === null ? null : copyingShares(record, place);
}

/** Who copies shares of a record, in words, or null. */
export async function copyingShares(record: MigrationState, place: StateLocation): Promise<string | null> {
  // All at once: it may take a time to know of one.
  const holders = await Promise.all(
    sharesOf(record).map(async (share) => {
      const one = await place.share(share).holder();
      return one === null ? [] : [`worker ${share.index}/${share.of}: ${one}`];
    }),
  );
  return holders.flat().join(', ') || null;
}
