import { isOnFront, type RelevanceReport } from '../../select/measure-relevance.js';
import { isWithinNoise, type TrainReport } from '../../select/train-report.js';
import type { StoredReport } from '../../select/judge-stored.js';
import type { ResultRow, ResultTable } from '../../report/result-table.js';
import { sayTables } from '../console/show-results.js';
import { durationText } from '../console/progress/line.js';
import type { ConsoleRun } from '../console/command-output.js';
import { formatBytes } from '../../report/format.js';
import type { MemoryBeforeAndAfter } from '../console/compact-memory.js';
import { engineText } from '../../train/engine/engine-report.js';
import { candidateLabel } from './candidate-names.js';
import { relevanceTable, relevanceWords } from './relevance-output.js';

/** Returns the table of candidates; a star marks the candidate that is saved. */
export function candidateTable(
  {
    candidates,
    objective,
    shipped,
    confirmQueries,
    fullVectors,
  }: Pick<TrainReport, 'candidates' | 'objective' | 'shipped' | 'confirmQueries' | 'fullVectors'>,
  technical = false,
): ResultTable {
  const byRecall = objective === 'recall@10';
  const sorted = [...candidates].sort((a, b) => b.objective - a.objective);
  const shownNames = namesThatMatter(sorted, shipped);
  const points = sorted.map(({ recallAt10, objective: value }) => ({ x: recallAt10, y: value }));
  const hasUnseen = candidates.some(({ unseenRecallAt10 }) => unseenRecallAt10 !== null);
  return {
    title: 'Candidates',
    columns: [
      ['candidate'],
      ...(byRecall ? [] : [[objective, 3] as const]),
      ['recall@10', 3],
      ['95 % interval', 3, 3],
      ['confirmed', 3, 2],
      ['R10@30', 3, 5],
      ['R10@100', 3, 1],
      ...(hasUnseen ? [['unseen groups', 3, 4] as const] : []),
      ['distance', undefined, 8],
      ['multiply-adds', 'whole', 7],
      ['seconds', 1, 6],
      ...(byRecall ? [] : [['front'] as const]),
    ],
    rows: [
      ...sorted.map((candidate, i) => ({
        cells: [
          candidateLabel(candidate.name, technical),
          ...(byRecall ? [] : [candidate.objective]),
          candidate.recallAt10,
          candidate.interval,
          candidate.confirmed.objective,
          candidate.r10At30,
          candidate.r10At100,
          ...(hasUnseen ? [candidate.unseenRecallAt10] : []),
          candidate.compactDistance,
          candidate.multiplyAdds,
          candidate.seconds,
          ...(byRecall ? [] : [isOnFront(points, i) ? 'yes' : '']),
        ],
        starred: candidate.name === shipped,
        picked: candidate.name === shipped ? 'saved' : undefined,
        folded: !shownNames.has(candidate.name),
      })),
      ...fullVectorsRow(fullVectors),
    ],
    legend: `Recall@10 is the share of the true ten nearest neighbours found in the first ten, R10@30 and R10@100 in the first 30 and 100: what rescoring recovers. All of it on held-out queries, which search among the rows that the candidates were fitted to: in a larger collection, a search finds less; "confirmed" is ${objective} on ${confirmQueries} queries that took no part in the choice. ${hasUnseen ? 'Unseen groups are clusters of the sample that nothing was fitted to: recall@10 of queries from these stands for vectors of a new kind. ' : ''}Multiply-adds are what projecting one vector costs; seconds are those of fitting.${byRecall ? '' : ` A candidate is on the front if no other one is better both by recall@10 and by ${objective}: --ship saves the one that you pick.`}`,
  };
}

/** Returns the table of the encoder that training went on from beside the new one; none without such an encoder. */
export function oldAndNewTables({ previous, training }: TrainReport): ResultTable[] {
  if (previous === null || previous.length === 0) return [];
  const words = { all: 'all held-out', far: 'far from the old sample', near: 'near the old sample' };
  return [
    {
      title: 'Old and new',
      columns: [
        ['recall@10'],
        ['queries', 'whole'],
        ['previous', 3],
        [candidateLabel(training[0]?.name ?? 'new'), 3],
      ],
      rows: previous.map((one) => ({ cells: [words[one.group], one.queries, one.previous, one.trained] })),
      legend:
        'The encoder that training went on from beside the one that it gave, on the same held-out queries. The previous encoder may have learned from some of these rows.',
    },
  ];
}

/** Candidates that a table shows without being asked for all. */
const SHOWN = 5;

/** The saved candidate, the best PCA, and as many of the best ones as there is room for. */
function namesThatMatter(sorted: readonly { readonly name: string }[], shipped: string): ReadonlySet<string> {
  const names = sorted.map(({ name }) => name);
  const must = new Set([shipped, ...names.filter((name) => name.startsWith('pca')).slice(0, 1)]);
  const best = names.filter((name) => !must.has(name)).slice(0, SHOWN - must.size);
  return new Set([...must, ...best]);
}

/** What the collection gives today, by the same measure. All their neighbours are found, by definition. */
function fullVectorsRow(fullVectors: TrainReport['fullVectors']): ResultRow[] {
  if (fullVectors === null) return [];
  const { objective, confirmed } = fullVectors;
  return [{ cells: ['full vectors', objective, 1, [1, 1], confirmed, 1, 1], starred: false }];
}

/** What the command of a training knows about relevance. */
export interface RelevanceContext {
  /** Returns the command that ships by these labels or judgements. */
  readonly commandFor: (set: RelevanceReport) => string;
  /** Whether labels were looked for in the payload. */
  readonly lookedFor: boolean;
  /** Whether all rows are shown, with technical names. */
  readonly verbose?: boolean;
}

/** Prints the scores of a training. */
export function printReport(
  run: ConsoleRun,
  report: TrainReport,
  relevance: RelevanceContext = { commandFor: () => '', lookedFor: false },
): void {
  const { verbose = false } = relevance;
  run.say('');
  run.say(
    `recall of the true 10 nearest neighbours, ${report.inputDim} -> ${report.outputDim} dimensions; ${report.heldOutQueries} held-out queries choose, ${report.confirmQueries} others confirm:`,
  );
  if (report.fitQueries > 0)
    run.say(
      `${report.fitQueries} other queries are for the candidates with queries to learn from: they do not measure recall`,
    );
  const measured = relevanceTable(report, verbose);
  const tables = [
    candidateTable(report, verbose),
    ...(measured === null ? [] : [measured]),
    ...oldAndNewTables(report),
  ];
  sayTables(run, tables, { all: verbose });
  if (report.leadOverPca !== null) {
    const points = report.leadOverPca.map((value) => `${value >= 0 ? '+' : ''}${(value * 100).toFixed(1)}`);
    if (isWithinNoise(report.leadOverPca))
      run.log(
        'warn',
        'the saved candidate is not shown to be better than PCA: the difference is within the noise of these queries; give more queries to tell them apart',
      );
    run.say(
      `the saved candidate compared with the better PCA: ${points.join(' to ')} points of ${report.objective} (95 %, same queries); on the confirming queries ${(report.confirmedGap * 100).toFixed(1)} points below the best candidate`,
    );
  }
  const time = timeWords(report, verbose);
  if (time !== null) run.say(time);
  if (report.stored !== null) run.say(storedWords(report.stored));
  const refitted = refitWords(report);
  if (refitted !== null) run.say(refitted);
  if (report.fullVectors !== null) sayLeadOverFull(run, report.fullVectors.lead, report.objective);
  for (const line of relevanceWords(report, relevance.commandFor)) run.say(line);
  if (report.relevance.length === 0 && relevance.lookedFor)
    run.say(
      'relevance was not measured: no payload field looks like labels that the full vectors agree with; name one with --labels-field, or give judged queries with --queries and --qrels',
    );
  if (report.graph !== null) {
    const { method, k, recall } = report.graph;
    const trained = report.training
      .map(({ name, steps }) => `${candidateLabel(name, verbose)} ${steps}`)
      .join('; ');
    const engines = [...new Set(report.training.map(engineText))].map((text) => `; engine: ${text}`).join('');
    run.say(
      `steps: ${trained}${engines}; neighbours: ${method}, k ${k}, recall ${recall.toFixed(3)}; seed ${report.seed}; ${report.hardware}`,
    );
  }
  const { zeroRows, duplicateRows } = report.sample;
  if (zeroRows + duplicateRows > 0)
    run.say(`left out of the sample: ${zeroRows} zero vectors, ${duplicateRows} exact duplicates`);
}

/** Prints what the saved encoder finds beside the memory that it saves. */
export function sayGain(
  run: Pick<ConsoleRun, 'say'>,
  { candidates, shipped }: Pick<TrainReport, 'candidates' | 'shipped'>,
  memory: MemoryBeforeAndAfter | null,
): void {
  const saved = candidates.find(({ name }) => name === shipped);
  if (saved === undefined) return;
  const found = `recall@10 ${saved.recallAt10.toFixed(3)}; ${saved.r10At100.toFixed(3)} if the full vectors rescore 100 results`;
  const ram =
    memory === null
      ? ''
      : `; RAM about ${formatBytes(memory.ramBytesBefore)} -> ${formatBytes(memory.ramBytesAfter)}`;
  run.say(`${found}${ram}`);
}

function storedWords({
  storedAs,
  rotation,
  recallAt10,
  unrotatedRecallAt10,
  float32RecallAt10,
}: StoredReport): string {
  const [now, plain, whole] = [recallAt10, unrotatedRecallAt10, float32RecallAt10].map((x) => x.toFixed(3));
  const turned =
    rotation === 0 ? 'no rotation finds more' : `with rotation ${rotation}; ${plain} without a rotation`;
  return `all figures are those of vectors stored as ${storedAs}. On the confirming queries the saved candidate has recall@10 ${now}, ${turned}; ${whole} if stored as float32`;
}

/** Returns how the time budget was used; null if it was no deadline. */
export function timeWords({ time, sample, training }: TrainReport, technical = false): string | null {
  if (time === null) return null;
  const { budgetSeconds, seconds, leftOut, sampleRows } = time;
  const distinct = sample.rows - sample.zeroRows - sample.duplicateRows;
  // Quoted, since some names have commas.
  const names = leftOut.map((name) => `"${candidateLabel(name, technical)}"`).join(', ');
  return [
    `fitted in ${durationText(seconds)} (budget: ${durationText(budgetSeconds)})`,
    ...training.flatMap(({ name, steps, stopped }) =>
      stopped === null
        ? []
        : [
            `"${candidateLabel(name, technical)}" stopped at step ${steps.toLocaleString('en-US')} of ${stopped.plannedSteps.toLocaleString('en-US')}, since recall of the held-out queries no longer rose`,
          ],
    ),
    ...(leftOut.length === 0 ? [] : [`no time was left for ${names}`]),
    ...(sampleRows === distinct
      ? []
      : [
          `${sampleRows.toLocaleString('en-US')} of ${distinct.toLocaleString('en-US')} rows were used, since more would have taken too long`,
        ]),
  ].join('; ');
}

/** Returns one sentence about the second fit, or why there is none; null if none was asked for. */
export function refitWords({ refit, notRefitted, objective }: TrainReport): string | null {
  if (refit === null) return notRefitted === null ? null : `not fitted again to all rows: ${notRefitted}`;
  const { rows, fitQueries, steps, queries, before, after, shipped } = refit;
  const kind = fitQueries > 0 ? 'queries' : 'rows';
  const count = (fitQueries > 0 ? fitQueries : rows).toLocaleString('en-US');
  const found = fitQueries > 0 ? 'that neither fit saw' : 'that neither fit saw, found among all others';
  const figures = `${before.toFixed(3)} before, ${after.toFixed(3)} after (${objective} of ${queries} ${kind} ${found})`;
  if (!shipped) return `not fitted again to all ${count} ${kind}, since it then finds less: ${figures}`;
  const how = steps === 0 ? '' : ` with ${steps} more steps`;
  return `fitted again to all ${count} other ${kind}${how}: ${figures}; all other figures are from before`;
}

function sayLeadOverFull(run: ConsoleRun, lead: readonly [number, number], objective: string): void {
  const points = lead.map((value) => `${value >= 0 ? '+' : ''}${(value * 100).toFixed(1)}`).join(' to ');
  const words = isWithinNoise(lead)
    ? 'about as good as your full vectors'
    : lead[0] > 0
      ? 'better than your full vectors'
      : 'behind your full vectors';
  run.say(
    `by this measure the saved candidate is ${words}: ${points} points of ${objective} (95 %, same queries)`,
  );
}
