/** How training finds the nearest neighbours; `auto` takes an index (HNSW) for large samples only. */
export type NeighbourSearch = 'auto' | 'exact' | 'hnsw';

/** All of them. */
export const NEIGHBOUR_SEARCHES: readonly NeighbourSearch[] = ['auto', 'exact', 'hnsw'];
