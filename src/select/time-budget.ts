import type { CleanSample } from '../core/clean-and-split-sample.js';
import { expectDefined } from '../core/errors.js';
import type { Matrix } from '../core/matrix.js';
import { THREADS, type RunOptions } from '../core/run-options.js';
import { REFIT, SPLIT } from '../hyper-parameters/choice-of-candidate.js';
import { DEADLINE } from '../hyper-parameters/deadline.js';
import { Deadline } from '../train/deadline.js';
import { measureSpeed, rowsInTime, withFewerRows } from '../train/fewer-rows.js';
import type { Candidate } from './candidate.js';
import { CLOSED_FORMS } from './fit-closed-forms.js';
import type { Judgement } from './score-candidates.js';
import type { SplitSample } from './split-sample.js';
import { isExplicit, type TrainEncoderOptions } from './train-encoder-options.js';
import type { TrainReport } from './train-report.js';
import { preparationSeconds } from './training-schedules.js';
import { PREVIOUS } from './warm-start.js';

/** The deadline of a run; none if the seed, or settings of the caller's own, decide how long trainings are. */
export function deadlineOf({ resume, ...options }: TrainEncoderOptions): Deadline {
  if (options.deterministic !== false || isExplicit(options)) return new Deadline(Number.POSITIVE_INFINITY);
  const limits = [...(resume?.values() ?? [])].flatMap(({ limit }) => (limit === undefined ? [] : [limit]));
  const spent = limits.reduce((sum, { spentSeconds }) => sum + spentSeconds, 0);
  return new Deadline(options.budgetSeconds ?? DEADLINE.seconds, spent);
}

/** The sample, or a random part of it if neighbour graph and PCA of all rows would take too much of the time. */
export async function sampleInTime(
  clean: CleanSample,
  {
    deadline,
    gains,
    resume,
    ...options
  }: TrainEncoderOptions & { readonly deadline: Deadline; readonly seed: number },
): Promise<CleanSample> {
  const { rows } = clean.x;
  deadline.sampleRows = rows;
  if (!deadline.isSet) return clean;
  const needed = new Set(
    (gains ?? []).flatMap((ofQuery) =>
      [...ofQuery.keys()].map((row) => clean.rowOf[row] ?? -1).filter((row) => row >= 0),
    ),
  );
  const before = [...(resume?.values() ?? [])].find(({ limit }) => limit !== undefined)?.limit?.sampleRows;
  deadline.sampleRows = before ?? (await rowsBefore(deadline, clean.x, options));
  if (deadline.sampleRows < rows)
    options.log?.(
      'info',
      `fitting to ${deadline.sampleRows.toLocaleString('en-US')} of ${rows.toLocaleString('en-US')} rows: on this machine, more do not fit into the time budget`,
    );
  return withFewerRows(clean, deadline.sampleRows, { ...options, needed });
}

/** The number of rows whose preparation and choice leave enough time for trainings, at the speed of this machine. */
async function rowsBefore(
  deadline: Deadline,
  x: Matrix,
  { threads = THREADS, signal, refit, heldOut, queries }: TrainEncoderOptions,
): Promise<number> {
  const { preparationShareMax, startsShareMax, threadStarts, searches, secondsPerPair, secondsPerValue } =
    DEADLINE;
  const graphs = refit === false ? 1 : 2;
  const limit = preparationShareMax * deadline.budgetSeconds;
  const asked = heldOut ?? queries?.rows ?? SPLIT.heldOutMax;
  const nominal = (rows: number): number => {
    const judging = Math.min(asked, SPLIT.heldOutShare * rows);
    const searched = (searches * judging * rows * secondsPerPair * THREADS) / threads;
    return (
      preparationSeconds({ rows, inputDim: x.cols, threads, graphs }) +
      searched +
      rows * x.cols * secondsPerValue
    );
  };
  const { slowness, startSeconds } = await measureSpeed(x, { threads, signal });
  deadline.slowness = slowness;
  // The nominal speed is not doubted for being exceeded: other parts of the work may be slower than products.
  const factor = Math.max(1, slowness);
  // Threads start as slowly with fewer rows, so their starts alone must not decide how many there are.
  const starts = Math.min(threadStarts * startSeconds, startsShareMax * limit);
  return rowsInTime(x.rows, limit, (rows) => factor * nominal(rows) + starts);
}

/** Keeps time for the choice of a candidate, and for the second fit. */
export function keepTime(
  deadline: Deadline,
  { train, refit: sample }: SplitSample,
  { candidates, refit, storedAs }: TrainEncoderOptions & { readonly candidates: number },
): void {
  if (!deadline.isSet) return;
  // With codes, candidates are scored with and without rotations.
  const scores = candidates * (storedAs === undefined ? 1 : 2);
  deadline.afterwards = DEADLINE.endShare * deadline.budgetSeconds;
  // A first score can take many times as long as the later ones. It must not take the trainings' time from them.
  const secondsMax = DEADLINE.scoresShareMax * Math.max(0, deadline.leftSeconds);
  deadline.scores = { count: scores, secondsMax };
  if (refit === false || sample === null) return;
  // The second fit to more queries has the rows, and so the graph, of the first one.
  const graph = sample.joined === undefined ? (sample.x.rows / train.rows) ** 2 : 0;
  deadline.secondFit = { training: REFIT.stepsShare, graph };
}

/** Names the candidates for which the budget is too small. */
export function sayLeftOut({ log }: TrainEncoderOptions, leftOut: readonly string[]): void {
  if (leftOut.length > 0)
    log?.('info', `the time budget is too small for ${leftOut.join(' and ')}: not trained`);
}

/** Returns how the budget was kept; null if it was no deadline. */
export function timeReport(deadline: Deadline, leftOut: readonly string[]): TrainReport['time'] {
  if (!deadline.isSet) return null;
  const { budgetSeconds, tookSeconds: seconds, sampleRows } = deadline;
  return { budgetSeconds, seconds, leftOut, sampleRows };
}

/** The candidates that were scored, in their order, and the names of those that no time was left for. */
export interface ScoredInTime {
  readonly judgement: Judgement;
  readonly unscored: readonly string[];
}

/** The learned candidate that finds most in most sets. */
const BEST = 'neighbourhood-kl-residual';

/**
 * Scores all candidates. If the deadline may leave too little time for that, it scores those first that may have to be
 * shipped, and learns from them how many of the others there is time for: learned candidates before closed forms.
 */
export async function scoreInTime(
  candidates: readonly Candidate[],
  run: {
    readonly score: (candidates: readonly Candidate[]) => Promise<Judgement>;
    /** Name of the candidate that the user wants. */
    readonly ship: string;
    readonly deadline: Deadline;
  } & Pick<RunOptions, 'log'>,
): Promise<ScoredInTime> {
  const { score, ship, deadline, log } = run;
  const left = (): number => deadline.leftSeconds - DEADLINE.endShare * deadline.budgetSeconds;
  const { count } = deadline.scores;
  if (!deadline.isSet || count * deadline.took('scores') <= left())
    return { judgement: await score(candidates), unscored: [] };
  const isFirst = ({ name }: Candidate): boolean => [ship, PREVIOUS, 'pca-uncentred', BEST].includes(name);
  const first = candidates.filter(isFirst);
  const before = deadline.leftSeconds;
  const judgements = [await score(first)];
  const seconds = (before - deadline.leftSeconds) / first.length;
  const others = candidates.filter((candidate) => !isFirst(candidate));
  const isClosed = ({ name }: Candidate): boolean => CLOSED_FORMS.some((closed) => closed === name);
  const ordered = [...others.filter((candidate) => !isClosed(candidate)), ...others.filter(isClosed)];
  const affordable = ordered.slice(0, Math.max(0, Math.floor(left() / seconds)));
  if (affordable.length > 0) judgements.push(await score(affordable));
  const unscored = ordered.slice(affordable.length).map(({ name }) => name);
  if (unscored.length > 0) log?.('info', `no time is left to score ${unscored.join(' and ')}`);
  return { judgement: inOrder(candidates, judgements), unscored };
}

/** All scores in the order of the candidates. */
function inOrder(candidates: readonly Candidate[], judgements: readonly Judgement[]): Judgement {
  const all = judgements.flatMap(({ selection, confirmation }) =>
    selection.map((selected, i) => ({
      selected,
      confirmed: expectDefined(confirmation[i], 'the confirmation of a score'),
    })),
  );
  const sorted = candidates.flatMap(({ name }) =>
    all.filter(({ selected }) => selected.candidate.name === name),
  );
  return {
    selection: sorted.map(({ selected }) => selected),
    confirmation: sorted.map(({ confirmed }) => confirmed),
  };
}
