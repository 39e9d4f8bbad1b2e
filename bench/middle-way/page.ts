import { mean } from '../../src/evaluate/ranking.js';
import { count, table } from '../markdown.js';
import { STEPS } from './fit-candidates.js';
import type { LabelFree } from './label-free-measures.js';
import type { MeasuredCandidate, MeasuredSet } from './measure-set.js';

/** The settings, the machine and the day of a run. */
export interface MiddleWayRun {
  readonly seed: number;
  readonly queries: number;
  /** Steps of each training, as a share of `STEPS`. */
  readonly steps: number;
  readonly part: number;
  readonly date: string;
  readonly hardware: string;
  readonly node: string;
}

/** What is compared with labels: a name for the page, and the values of the candidates. */
interface Foretold {
  readonly name: string;
  readonly of: (candidate: MeasuredCandidate) => number | null;
}

const free =
  (key: keyof LabelFree) =>
  ({ labelFree }: MeasuredCandidate): number | null =>
    labelFree[key];
const FORETOLD: readonly Foretold[] = [
  { name: 'recall@10', of: ({ recallAt10 }) => recallAt10 },
  { name: 'halves of the full dimensions', of: free('fullHalves') },
  { name: 'halves of the compact dimensions', of: free('compactHalves') },
  { name: 'removed rows', of: free('removedRows') },
  { name: 'clusters as labels', of: free('clusters') },
  { name: 'neighbours of neighbours', of: free('coherence') },
];
/** The candidates that each aim ships most often. */
const FIDELITY = 'neighbourhood-kl-residual';
const RELEVANCE = 'tldr-mlp';

const digits = (value: number | null): string => (value === null ? '' : value.toFixed(3));

/** Ranks of values, where those that are equal share a mean rank. */
function ranks(values: readonly number[]): number[] {
  return values.map((value) => {
    const below = values.filter((other) => other < value).length;
    const equal = values.filter((other) => other === value).length;
    return below + (equal + 1) / 2;
  });
}

/** Spearman's rank correlation. */
function rankCorrelation(a: readonly number[], b: readonly number[]): number {
  const [x, y] = [ranks(a), ranks(b)];
  const [meanX, meanY] = [mean(x), mean(y)];
  const products = (p: readonly number[], q: readonly number[]): number =>
    p.reduce((sum, value, i) => sum + (value - meanX) * ((q[i] ?? Number.NaN) - meanY), 0);
  return products(x, y) / Math.sqrt(products(x, x) * products(y, y));
}

/** How well a measure orders the candidates of a set by what labels or answers say. */
function foretells(
  { candidates }: MeasuredSet,
  { of }: Foretold,
  truth: (candidate: MeasuredCandidate) => number | null,
): number | null {
  const both = candidates.flatMap((candidate) => {
    const [guess, value] = [of(candidate), truth(candidate)];
    return guess === null || value === null ? [] : [[guess, value] as const];
  });
  if (both.length < 3) return null;
  return rankCorrelation(
    both.map(([guess]) => guess),
    both.map(([, value]) => value),
  );
}

/** Which of the two aims' candidates a measure takes, and whether labels agree. */
function choiceOf({ candidates }: MeasuredSet, { of }: Foretold): string {
  const [fidelity, relevance] = [FIDELITY, RELEVANCE].map((name) =>
    candidates.find((one) => one.name === name),
  );
  if (fidelity === undefined || relevance === undefined) return '';
  const [a, b] = [of(fidelity), of(relevance)];
  if (a === null || b === null) return '';
  const isRight = b > a === relevance.labels > fidelity.labels;
  return `${b > a ? 'relevance' : 'fidelity'}, ${isRight ? 'right' : 'wrong'}`;
}

function candidatesTable({ fullVectors, candidates }: MeasuredSet): string {
  const answered = fullVectors.answers !== null;
  const onFront = (one: MeasuredCandidate): boolean =>
    !candidates.some((other) => other.recallAt10 > one.recallAt10 && other.labels > one.labels);
  const name = (one: MeasuredCandidate): string => (one.name.includes(' ') ? one.name : `\`${one.name}\``);
  return table([
    [
      'candidate',
      'recall@10',
      'mAP@100 by labels',
      ...(answered ? ['nDCG@10, single answers'] : []),
      'front',
    ],
    [
      '**full vectors**',
      '1.000',
      digits(fullVectors.labels),
      ...(answered ? [digits(fullVectors.answers)] : []),
      '',
    ],
    ...[...candidates]
      .sort((a, b) => b.recallAt10 - a.recallAt10)
      .map((one) => [
        name(one),
        digits(one.recallAt10),
        digits(one.labels),
        ...(answered ? [digits(one.answers)] : []),
        onFront(one) ? 'yes' : '',
      ]),
  ]);
}

function foretellingTable(sets: readonly MeasuredSet[]): string {
  const columns = sets.flatMap((set) => [
    { head: `${set.name}, labels`, set, truth: ({ labels }: MeasuredCandidate) => labels },
    ...(set.fullVectors.answers === null
      ? []
      : [{ head: `${set.name}, single answers`, set, truth: ({ answers }: MeasuredCandidate) => answers }]),
  ]);
  return table([
    ['measure', ...columns.map(({ head }) => head)],
    ...FORETOLD.map((one) => [
      one.name,
      ...columns.map(({ set, truth }) => foretells(set, one, truth)?.toFixed(2) ?? ''),
    ]),
  ]);
}

/** Returns docs/benchmarks/middle-way.md. */
export function middleWayPage(sets: readonly MeasuredSet[], run: MiddleWayRun): string {
  const steps = (usual: number): number => Math.round(run.steps * usual);
  const sizes = sets.map(
    ({ name, rows, inputDim, dim }) => `${name} (${count(rows)} rows, ${inputDim} -> ${dim})`,
  );
  return `# Between fidelity and relevance

Generated by \`npm run bench:middle-way -- --write\`: do not edit.

Neighbourhood-KL finds the most true neighbours. TLDR's \`tldr-mlp\` gathers labels best. This page asks two things: which candidates lie between both, and whether anything that is measured without labels foretells which candidate labels would choose.

Small on purpose: ${sizes.join(', ')}; ${run.queries} queries apart at most; seed ${run.seed}; fixed numbers of steps (${steps(STEPS.linear)} for \`neighbourhood-kl\`, ${steps(STEPS.residual)} for the residual encoder, ${steps(STEPS.tldrMlp)} for \`tldr-mlp\`, ${steps(STEPS.tldr)} for linear TLDR). Differences below a point say nothing.

## The middle way

Recall@10 is agreement with the full vectors' neighbours, mAP@100 agreement with labels. A candidate is on the front if no other one is better in both.

A blend joins the outputs of the residual map and of \`tldr-mlp\`, so that their inner products add by shares, and reduces them along their principal axes. It takes seconds and no training. The other ways between both aims start one loss from the other's map. A weighted sum of both losses was not tried: the two read different batches.

${sets.map((set) => `### ${set.name}, ${set.inputDim} -> ${set.dim}\n\n${candidatesTable(set)}`).join('\n\n')}

## Without labels

Each row is something that is measured on the same rows and queries without labels, larger is thought to be better:

- **halves of the full dimensions**: of the rows that two random halves of the full dimensions both find, the share that the candidate finds.
- **halves of the compact dimensions**: how many results two random halves of the compact dimensions share.
- **removed rows**: how many results two encoders share that were fitted to separate halves of the rows, in half of the steps.
- **clusters as labels**: mAP@100 with 50 k-means clusters of the full vectors in place of labels.
- **neighbours of neighbours**: how many results a result shares with its own neighbours.

The figures are rank correlations over the candidates of a set (Spearman): 1 if the measure orders them as labels do, 0 by chance, -1 in reverse.

${foretellingTable(sets)}

Which of \`${FIDELITY}\` and \`${RELEVANCE}\` each measure takes, and whether labels say so too:

${table([
  ['measure', ...sets.map(({ name }) => name)],
  ...FORETOLD.map((one) => [one.name, ...sets.map((set) => choiceOf(set, one))]),
])}

## How to repeat it

${run.hardware}, Node ${run.node}, ${run.date}.

<!-- not run: it needs data sets that are not in the repository -->

\`\`\`sh
npm run bench:middle-way -- --part=${run.part} --queries=${run.queries} --steps=${run.steps} --seed=${run.seed}
\`\`\`
`;
}
