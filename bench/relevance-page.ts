import { count, signedPoints, table } from './markdown.js';
import type { RelevanceResult, SpaceQuality } from './relevance-training.js';

/** Where each set comes from; other sets appear by name alone. */
const DATA: Readonly<Record<string, string>> = {
  'ada002-1536':
    '1536 dimensions, OpenAI ada-002, documentation of source files; 3,027 rows, 400 queries; the label is the repository',
  'bge-micro-384':
    '384 dimensions, bge-micro-v2, study notes; 24,627 rows, 1,000 queries; the label is the chapter, 67 of them',
  'wordnet-use-512':
    '512 dimensions, Universal Sentence Encoder lite, glosses of WordNet 3.1; 60,000 rows, 1,000 queries; the label is one of 45 classes',
};

/** The candidates that are best for each aim. */
const FIDELITY = 'neighbourhood-kl-residual';
const RELEVANCE = 'tldr-mlp';

/** One size of one data set, one result per seed. */
export interface RelevanceSize {
  readonly data: string;
  readonly dim: number;
  readonly results: readonly RelevanceResult[];
}

/** The settings, the machine and the day of a run. */
export interface RelevanceRun {
  readonly rows: number;
  readonly budgetSeconds: number;
  readonly cores: number;
  readonly seeds: number;
  readonly parts: string;
  readonly date: string;
  readonly cpu: string;
  readonly node: string;
}

/** One space of one size, over all seeds. */
interface Row {
  readonly name: string;
  readonly labels: number;
  readonly recallAt10: number;
  readonly answers: number | null;
}

const mean = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / values.length;
function rowOf(name: string, spaces: readonly SpaceQuality[]): Row {
  const answers = spaces.flatMap((space) => (space.answers === null ? [] : [space.answers]));
  return {
    name,
    labels: mean(spaces.map(({ labels }) => labels)),
    recallAt10: mean(spaces.map(({ recallAt10 }) => recallAt10)),
    answers: answers.length === 0 ? null : mean(answers),
  };
}

/** The full vectors, then each candidate, best first. */
function rowsOf({ results }: RelevanceSize): { readonly full: Row; readonly candidates: readonly Row[] } {
  const names = [...new Set(results.flatMap(({ candidates }) => Object.keys(candidates)))];
  const candidates = names.map((name) =>
    rowOf(
      name,
      results.flatMap((result) => {
        const found = result.candidates[name];
        return found === undefined ? [] : [found];
      }),
    ),
  );
  return {
    full: rowOf(
      'full vectors',
      results.map(({ full }) => full),
    ),
    candidates: candidates.sort((a, b) => b.labels - a.labels),
  };
}

const bestPca = (rows: readonly Row[], by: (row: Row) => number): number =>
  Math.max(...rows.filter(({ name }) => name === 'pca' || name === 'pca-uncentred').map(by));

/** Label mAP of what each seed shipped, averaged. */
const shippedLabels = ({ results }: RelevanceSize): number =>
  mean(results.map(({ candidates, shipped }) => candidates[shipped]?.labels ?? Number.NaN));

function summary(sizes: readonly RelevanceSize[]): string {
  return table([
    ['data', 'dimensions', 'full vectors', 'PCA', 'shipped', 'over PCA', 'over the full vectors', 'which'],
    ...sizes.map((size) => {
      const { full, candidates } = rowsOf(size);
      const pca = bestPca(candidates, ({ labels }) => labels);
      const shipped = shippedLabels(size);
      return [
        size.data,
        String(size.dim),
        full.labels.toFixed(3),
        pca.toFixed(3),
        shipped.toFixed(3),
        signedPoints(shipped - pca),
        signedPoints(shipped - full.labels),
        [...new Set(size.results.map((result) => `\`${result.shipped}\``))].join(', '),
      ];
    }),
  ]);
}

function details(size: RelevanceSize): string {
  const { full, candidates } = rowsOf(size);
  const answered = full.answers !== null;
  const cells = ({ name, labels, recallAt10, answers }: Row): string[] => [
    name === full.name ? '**full vectors**' : `\`${name}\``,
    labels.toFixed(3),
    ...(answered ? [answers === null ? '' : answers.toFixed(3)] : []),
    recallAt10.toFixed(3),
  ];
  return `### ${size.data} -> ${size.dim}

${table([
  ['space', 'labels, mAP@100', ...(answered ? ['single answers, nDCG@10'] : []), 'recall@10'],
  ...[...candidates, full].sort((a, b) => b.labels - a.labels).map(cells),
])}`;
}

const seconds = (sizes: readonly RelevanceSize[]): string =>
  mean(sizes.flatMap(({ results }) => results.map((result) => result.seconds))).toFixed(0);

/** What queries with one right answer say, where there are some. */
function answersText(sizes: readonly RelevanceSize[]): string {
  const lines = sizes.flatMap((size) => {
    const { full, candidates } = rowsOf(size);
    if (full.answers === null) return [];
    const [first] = candidates;
    const best = [...candidates].sort((a, b) => (b.answers ?? 0) - (a.answers ?? 0))[0];
    if (first === undefined || best === undefined) return [];
    const figure = (value: number | null): string => (value ?? Number.NaN).toFixed(3);
    return [
      `- **${size.data} -> ${size.dim}**: full vectors ${figure(full.answers)}, PCA ${bestPca(candidates, ({ answers }) => answers ?? 0).toFixed(3)}, best by labels (\`${first.name}\`) ${figure(first.answers)}, best by answers (\`${best.name}\`) ${figure(best.answers)}.`,
    ];
  });
  if (lines.length === 0) return '';
  return `
## Single right answers

A query can also have exactly one right answer: here a usage sentence, whose answer is the definition of its word among all rows of the set. The figures are nDCG@10, which is 1 if the answer always comes first.

${lines.join('\n')}

An encoder that gathers classes scatters single answers. So the two kinds of relevance are measured apart, and \`train\` judges only by the kind that you give it.
`;
}

/** What can be known without labels: shown by sets whose labels and single answers disagree on the same vectors. */
function withoutLabelsText(sizes: readonly RelevanceSize[]): string {
  const lines = sizes.flatMap((size) => {
    const { candidates } = rowsOf(size);
    const [fidelity, relevance] = [FIDELITY, RELEVANCE].map((name) =>
      candidates.find((one) => one.name === name),
    );
    if (fidelity?.answers == null || relevance?.answers == null) return [];
    const figures = (a: number, b: number): string => `${a.toFixed(3)} against ${b.toFixed(3)}`;
    return [
      `- **${size.data} -> ${size.dim}**: \`${RELEVANCE}\` against \`${FIDELITY}\` has ${figures(relevance.labels, fidelity.labels)} by labels, and ${figures(relevance.answers, fidelity.answers)} for single answers.`,
    ];
  });
  if (lines.length === 0) return '';
  return `
## Without labels

Nothing that is measured on the vectors alone can tell which kind of relevance you have. The same vectors have both, and the two ask for different encoders:

${lines.join('\n')}

So \`train\` never chooses by relevance without labels or judgements. Two measures that need no labels do order the candidates nearly as labels would (rank correlation 0.86 to 0.98 on three sets). One is mAP@100 with clusters of the full vectors in place of labels, the other is how many results a result shares with its own neighbours. For single right answers both point the wrong way (-0.32 and -0.30). Four other measures foretell nothing: [benchmarks/middle-way.md](benchmarks/middle-way.md#without-labels).
`;
}

/** Returns docs/relevance.md. */
export function relevancePage(sizes: readonly RelevanceSize[], run: RelevanceRun): string {
  const sets = [...new Set(sizes.map(({ data }) => data))];
  return `# Relevance

Does a search of the compact (reduced) vectors return what people call relevant?

Generated by \`npm run bench:relevance -- --write\`: do not edit.

There are two aims, and an encoder (the map from full to compact vectors) that is best for one is not best for the other:

- **Fidelity**: the compact search finds what the full search finds. The measure is recall@10. \`train\` does this by default. TLDR with its published settings (a method of learning from pairs of neighbours) is behind PCA in it: [quality.md](quality.md). The candidate \`tldr\` below starts from PCA, and is close to it.
- **Relevance**: the compact search finds what shares the query's label, or what people judged to be an answer. The measures are mAP@100 and nDCG@10. By labels, TLDR is ahead of PCA and of the full vectors, although it never sees a label. \`train --objective relevance\` does this.

## Results by labels

mAP@100: the mean over queries of the average precision among the first hundred results, where a row with the query's label is right. Differences are in points (0.01). Here and below, except in the tables of every candidate, PCA is the better one of centred and uncentred PCA.

${summary(sizes)}
${answersText(sizes)}${withoutLabelsText(sizes)}
## How it was measured

- **Data**, of which at most ${count(run.rows)} rows are searched: ${sets.map((name) => (DATA[name] === undefined ? name : `${name} (${DATA[name]})`)).join('; ')}.
- **Queries**: neither training nor the choice of an encoder saw them. Labels of the training rows choose among the candidates; no candidate is fitted to labels.
- **Search**: exact, in the full and in the compact space.
- **Budget**: the default of the library and of \`train --deterministic\`, ${run.budgetSeconds} seconds of ${run.cores} cores. ${run.seeds === 1 ? 'Seed 1.' : `Seeds 1 to ${run.seeds}; figures are means.`}
- **Command**: \`npm run bench:relevance -- --parts=${run.parts} --seeds=${run.seeds}\`; trainings run side by side with one thread each, ${seconds(sizes)} seconds on average.
- **Hardware and versions**: ${run.cpu}, Node ${run.node}.
- **Date**: ${run.date}.

## Every candidate

\`tldr\` is a linear map trained from PCA, \`tldr-flinear\` and \`tldr-mlp\` have one hidden layer (without and with a nonlinearity) and start from random weights. [quality.md](quality.md) explains the others.

${sizes.map(details).join('\n\n')}
`;
}
