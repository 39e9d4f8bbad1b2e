/** What a compact space has to gain over the database's own storage of full vectors, to be worth an encoder. Given. */
const RECALL_GAIN_MIN = 0.02;
const RAM_SHARE_MAX = 0.5;
/** Tolerance, so that a gain equal to the limit does not fail by a rounding error. */
const ROUNDING = 1e-9;

/** What is compared of a configuration. */
export interface WeighedRow {
  readonly kind: 'current' | 'full' | 'compact';
  readonly deployable: boolean;
  readonly oversampling: number;
  readonly recallAt10: number;
  readonly ramBytes: number;
}

/** The configuration to recommend. */
export interface Recommended<Row extends WeighedRow> {
  readonly row: Row;
  /**
   * The compact configuration that needs less memory or finds more than `row`, which keeps the full vectors, but not by
   * enough to be worth an encoder; null if nothing was passed over.
   */
  readonly passedOver: Row | null;
}

/**
 * Returns the best row, or the best one that keeps full vectors, if the best is a compact space that gains too little
 * over it. Rows that rescore more results than the best one do not count, because they cost more in each search.
 * @param ranked rows that fulfil a condition, the best first
 * @param all all measured rows
 * @param asked recall that is enough (more than this is not asked for), or the memory that there is
 */
export function recommended<Row extends WeighedRow>(
  ranked: readonly Row[],
  all: readonly Row[],
  asked: { readonly enough?: number; readonly ramBytes?: number },
): Recommended<Row> | null {
  const [best] = ranked;
  if (best === undefined) return null;
  const own = ranked.find(
    ({ kind, oversampling }) => kind !== 'compact' && oversampling <= best.oversampling,
  );
  if (best.kind !== 'compact' || own === undefined || isWorthAnEncoder(best, own, { ...asked, all }))
    return { row: best, passedOver: null };
  return { row: own, passedOver: best };
}

/**
 * Whether compact spaces gain enough over this storage of full vectors: two points more recall in the same memory (the
 * memory that there is, or that of the full vectors), or
 * the same recall, or enough, in half of it, with no more oversampling than the compact row has.
 */
export function isWorthAnEncoder(
  compact: WeighedRow,
  own: WeighedRow,
  {
    all,
    enough = 1,
    ramBytes: memory = own.ramBytes,
  }: { readonly all: readonly WeighedRow[]; readonly enough?: number; readonly ramBytes?: number },
): boolean {
  const same = Math.min(own.recallAt10, enough) - ROUNDING;
  return [compact, ...all].some(
    ({ kind, deployable, oversampling, recallAt10, ramBytes }) =>
      kind === 'compact' &&
      deployable &&
      oversampling <= compact.oversampling &&
      ((recallAt10 >= own.recallAt10 + RECALL_GAIN_MIN - ROUNDING && ramBytes <= memory) ||
        (recallAt10 >= same && ramBytes <= own.ramBytes * RAM_SHARE_MAX)),
  );
}
