import { TldrError } from '../../core/errors.js';
import type { MigrationState, RangeProgress, Share } from './migration-state.js';
import type { StateLocation } from './location.js';

/** Returns the shares of a migration state; none if one run copies everything. */
export function sharesOf({ split }: MigrationState): Share[] {
  return split === undefined ? [] : Array.from({ length: split }, (_, i) => ({ index: i + 1, of: split }));
}

/** Returns the part of a migration state that a share copies: every `of`-th range. */
export function shareOf(state: MigrationState, { index, of }: Share): MigrationState {
  const ranges = state.ranges.filter((_, i) => i % of === index - 1).map((range) => ({ ...range }));
  const part = { ...state, ranges };
  delete part.split;
  delete part.load;
  return part;
}

/** Returns the state with the current progress of all its shares. Writes nothing. */
export async function wholeState(state: MigrationState, place: StateLocation): Promise<MigrationState> {
  const ranges = [...state.ranges];
  for (const share of sharesOf(state)) {
    const part = place.share(share);
    const progress = (await part.read())?.ranges;
    progress?.forEach((range, j) => {
      const i = j * share.of + share.index - 1;
      if (!sameRange(range, ranges[i]))
        throw new TldrError(
          'MISMATCH',
          `${part.label} does not belong to ${place.label}: it lists other ranges, and may be left over from an earlier migration. Make sure that no worker uses it, then remove it: what it lists as copied is copied again, nothing else is lost`,
        );
      ranges[i] = range;
    });
  }
  return { ...state, ranges };
}

function sameRange(a: RangeProgress, b: RangeProgress | undefined): boolean {
  const text = (range: RangeProgress): string =>
    JSON.stringify([range.partition?.kind, range.partition?.value, range.from, range.to]);
  return b !== undefined && text(a) === text(b);
}

/**
 * Joins the shares into one state again. The caller holds the state's lock; this locks every share meanwhile.
 * @throws ALREADY_EXISTS while a worker copies a share
 */
export async function joinShares(state: MigrationState, place: StateLocation): Promise<MigrationState> {
  const shares = sharesOf(state).map((share) => place.share(share));
  const unlocks: (() => Promise<void>)[] = [];
  try {
    for (const share of shares) unlocks.push((await share.lock()).unlock);
    const { split, ...joined } = await wholeState(state, place);
    // Shares are removed last: after a crash before that, they are joined again or ignored.
    if (split !== undefined) await place.write(joined);
    for (const share of shares) await share.remove();
    return joined;
  } finally {
    for (const unlock of unlocks) await unlock();
  }
}

/** Splits a state into shares. The caller holds its lock, and no worker copies. */
export async function splitState(
  state: MigrationState,
  place: StateLocation,
  workers: number,
): Promise<MigrationState> {
  const split = { ...state, split: workers };
  // An interrupted join may have left old shares.
  for (const share of sharesOf(split)) await place.share(share).remove();
  await place.write(split);
  return split;
}

/** Returns the runs that work on a migration or on its shares, for people; null if none does. */
export async function workingOn(place: StateLocation): Promise<string | null> {
  const holder = await place.holder();
  if (holder !== null) return holder;
  const state = await place.read();
  return state === null ? null : copyingShares(state, place);
}

/** Returns the workers that copy shares of a migration, for people; null if none does. */
export async function copyingShares(state: MigrationState, place: StateLocation): Promise<string | null> {
  // In parallel, because each answer may take a while.
  const holders = await Promise.all(
    sharesOf(state).map(async (share) => {
      const one = await place.share(share).holder();
      return one === null ? [] : [`worker ${share.index}/${share.of}: ${one}`];
    }),
  );
  return holders.flat().join(', ') || null;
}
