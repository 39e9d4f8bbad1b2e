import type { SizingRow } from '../../src/plan/sizing-row.js';
import { isWorthAnEncoder } from '../../src/plan/worth-an-encoder.js';
import { count, signedPoints, table } from '../markdown.js';
import type { RunFacts } from './run-facts.js';

export type CodesRow = Omit<SizingRow, 'evidence'>;

/** Everything that was measured of one set. */
export interface CodesOfSet {
  readonly set: string;
  readonly dim: number;
  readonly points: number;
  readonly queries: number;
  readonly rows: readonly CodesRow[];
}

/** The settings, the machine and the day of a run. */
export interface CodesRun extends RunFacts {
  readonly oversamplings: readonly number[];
  readonly budgetSeconds: number;
  readonly seed: number;
}

/** The database's own codes of one kind, and what compact spaces give in the same memory. */
interface Comparison {
  readonly own: CodesRow;
  /** The best compact space in the memory of `own`, with the same oversampling; null if none fits. */
  readonly best: CodesRow | null;
  /** The smallest compact space that finds as much, with the same oversampling; null if none does. */
  readonly smallest: CodesRow | null;
  readonly isWorth: boolean;
}

/** Means of the same hits in another order differ by less. */
const ROUNDING = 1e-9;

function compare({ rows }: CodesOfSet, oversampling: number): Comparison[] {
  // The memory of a million points: in a small collection, code books would weigh more than codes.
  const sized = rows
    .filter((row) => row.oversampling === oversampling && row.deployable)
    .map((row): SizingRow => ({
      ...row,
      ramBytes: row.ramBytesPerMillion,
      evidence: NO_EVIDENCE,
    }));
  const compact = sized.filter(({ kind }) => kind === 'compact');
  const own = sized
    .filter(({ kind }) => kind === 'full')
    .sort((a, b) => a.ramBytes - b.ramBytes || b.recallAt10 - a.recallAt10);
  const front = own.filter((row, i) =>
    own.slice(0, i).every(({ recallAt10 }) => recallAt10 < row.recallAt10),
  );
  return front.map((row) => {
    const fitting = compact.filter(({ ramBytes }) => ramBytes <= row.ramBytes);
    const equal = compact.filter(({ recallAt10 }) => recallAt10 >= row.recallAt10 - ROUNDING);
    const best = [...fitting].sort((a, b) => b.recallAt10 - a.recallAt10)[0] ?? null;
    const smallest = [...equal].sort((a, b) => a.ramBytes - b.ramBytes)[0] ?? null;
    return {
      own: row,
      best,
      smallest,
      isWorth: best !== null && isWorthAnEncoder(best, row, { all: compact }),
    };
  });
}

const NO_EVIDENCE = {
  recall: new Float64Array(),
  perDoubling: new Float64Array(),
  doublings: 0,
  fitGap: null,
};

const megabytes = (row: CodesRow): string => (row.ramBytesPerMillion / 1e6).toFixed(0);

function comparisonTable(set: CodesOfSet, oversampling: number): string {
  return table([
    [
      'own codes',
      'MB',
      'recall',
      'best compact in this memory',
      'recall',
      'gain',
      'smallest with as much recall',
      'its memory',
      'worth it',
    ],
    ...compare(set, oversampling).map(({ own, best, smallest, isWorth }) => [
      own.label,
      megabytes(own),
      own.recallAt10.toFixed(3),
      best?.label ?? 'none',
      best?.recallAt10.toFixed(3) ?? '-',
      best === null ? '-' : signedPoints(best.recallAt10 - own.recallAt10),
      smallest?.label ?? 'none',
      smallest === null
        ? '-'
        : `${((100 * smallest.ramBytesPerMillion) / own.ramBytesPerMillion).toFixed(0)} %`,
      isWorth ? 'yes' : 'no',
    ]),
  ]);
}

const stageOf = (oversampling: number): string =>
  oversampling === 1 ? 'not rescored' : `${oversampling} x oversampling`;

/** In how many rows an encoder is worth it, and how large the gains are. */
function verdictOf(sets: readonly CodesOfSet[], oversampling: number): string {
  const all = sets.flatMap((set) => compare(set, oversampling));
  const gains = all.flatMap(({ own, best }) => (best === null ? [] : [best.recallAt10 - own.recallAt10]));
  const worth = all.filter(({ isWorth }) => isWorth).length;
  const range = `${signedPoints(Math.min(...gains))} to ${signedPoints(Math.max(...gains))} points in the same memory`;
  return `**${stageOf(oversampling)}**: worth it in ${worth} of ${all.length} rows; ${range}.`;
}

/** The page of the benchmark. */
export function ownCodesPage(sets: readonly CodesOfSet[], run: CodesRun): string {
  const sections = sets.map(
    (set) => `## ${set.set}

${count(set.points)} points of ${set.dim} dimensions, ${count(set.queries)} queries

${run.oversamplings
  .map((one) => `### ${set.set}, ${stageOf(one)}\n\n${comparisonTable(set, one)}`)
  .join('\n\n')}
`,
  );
  return `# Benchmark: own codes of full vectors, or codes of compact vectors

- **Measures**: recall@10 and memory of the database's own codes of full vectors, beside compact spaces with the same oversampling
- **Command**: \`npm run bench:own-codes -- --write\`, ${run.date}
- **Data**: ${sets.map(({ set }) => set).join(', ')}: real embeddings; queries are held-out points
- **Seed**: ${run.seed}; ${run.budgetSeconds} seconds of training for all sizes of a set
- **Versions**: Node ${run.node}, Qdrant ${run.server}
- **Hardware**: ${run.cpu}, ${run.cores} cores

\`plan\` measured every row on the server: full vectors and compact spaces of a 16th to half of the dimensions, with each of the server's codes, with m 16 and m 8. The first columns show the server's own codes that no smaller ones beat. Memory is that of codes or vectors, and of the graph, in MB for a million points. Recall is recall@10, the gain is in points (0.01), and memory of the smallest compact space is a share of the memory of the own codes.

An encoder is worth it if compact vectors gain 2 points in the same memory, or find as much in half of it. Where it is not, \`plan\` recommends the server's own codes and says so:

${run.oversamplings.map((one) => `- ${verdictOf(sets, one)}`).join('\n')}

${sections.join('\n')}`;
}
