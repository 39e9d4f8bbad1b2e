import type { Layout } from '../store/collection.js';
import type { SizingRow } from './sizing-row.js';

/** Names of the proposals, from the most careful one to the one with the least memory. */
export const PROPOSAL_NAMES = ['safe', 'balanced', 'smallest'] as const;
/** The name of a proposal. */
export type ProposalName = (typeof PROPOSAL_NAMES)[number];

/** The recall@10 that each proposal has to reach. For `safe`, the low end of the interval has to reach it. */
export const PROPOSED_RECALL: Readonly<Record<ProposalName, number>> = {
  safe: 0.99,
  balanced: 0.97,
  smallest: 0.9,
};

/** A configuration that is proposed to the user. */
export interface Proposal {
  readonly name: ProposalName;
  readonly row: SizingRow;
  /** False if no measured configuration reaches the proposal's recall. The row is then the one that finds most. */
  readonly reached: boolean;
}

/**
 * Returns the three proposals among the configurations of a layout: each is the one with the least RAM that reaches the
 * proposal's recall. Several proposals can be the same configuration. Returns none if no configuration has this layout.
 */
export function proposalsOf(rows: readonly SizingRow[], layout: Layout): Proposal[] {
  const able = rows.filter((row) => row.deployable && row.kind === 'compact' && row.layout === layout);
  const [best] = [...able].sort((a, b) => b.recallAt10 - a.recallAt10 || byCost(a, b));
  if (best === undefined) return [];
  return PROPOSAL_NAMES.map((name) => {
    const [least] = able.filter((row) => reaches(row, name)).sort(byCost);
    return { name, row: least ?? best, reached: least !== undefined };
  });
}

/**
 * Returns the way of storing the full vectors that needs no more RAM than the balanced proposal and finds no less; null
 * if there is none. It needs no encoder.
 */
export function fullStorageAsGood(
  proposals: readonly Proposal[],
  rows: readonly SizingRow[],
): SizingRow | null {
  const balanced = proposals.find(({ name }) => name === 'balanced')?.row;
  if (balanced === undefined) return null;
  const [least] = rows
    .filter(({ kind, deployable }) => deployable && kind === 'full')
    .filter(({ ramBytes, recallAt10 }) => ramBytes <= balanced.ramBytes && recallAt10 >= balanced.recallAt10)
    .sort(byCost);
  return least ?? null;
}

function reaches({ recallAt10, interval }: SizingRow, name: ProposalName): boolean {
  return (name === 'safe' ? interval[0] : recallAt10) >= PROPOSED_RECALL[name];
}

/** Sorts by bytes of RAM. Of rows with the same RAM, the one that finds most comes first. */
function byCost(a: SizingRow, b: SizingRow): number {
  return a.ramBytes - b.ramBytes || b.recallAt10 - a.recallAt10 || a.diskBytes - b.diskBytes;
}
