/**
 * A store's own key of a point. Only the store's `keys` read, write and order it: equal text does not mean
 * equal keys, since `5n` and `'5'` differ. Integers are bigint, because a JS number rounds above 2^53.
 */
export type PointId = bigint | string;
