/**
 * Every number of the candidates between fidelity and relevance. Source, if a line names no other:
 * docs/benchmarks/middle-way.md.
 */

/** Blends of the best map for fidelity with TLDR's. */
export const BLEND = {
  // TLDR's shares of the similarities. At .8, TLDR alone is as good by labels.
  shares: [0.2, 0.4, 0.6],
  // Rows that the joint axes are computed from. Chosen.
  rowsMax: 10_000,
} as const;

/**
 * Shares of the budget of TLDR's candidates if agreement with neighbours chooses and labels are measured: twice the
 * steps of the one that gathers labels best, at the cost of the other two. Chosen.
 */
export const LABELLED_SHARES = { tldr: 0.025, tldrFlinear: 0.025, tldrMlp: 0.07 } as const;
