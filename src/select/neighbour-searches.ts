/** Ways to find the nearest neighbours that training uses. */
export const NEIGHBOUR_SEARCHES = ['auto', 'exact', 'hnsw'] as const;
