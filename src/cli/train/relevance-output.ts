import type { ResultTable } from '../../report/result-table.js';
import { MEASURED_LABELS } from '../../hyper-parameters/choice-of-candidate.js';
import type { MeasuredCandidate, RelevanceReport } from '../../select/measure-relevance.js';
import { isWithinNoise, type TrainReport } from '../../select/train-report.js';
import { candidateLabel } from './candidate-names.js';
import { expectDefined } from '../../core/errors.js';

/** The table of what candidates reach by labels or judgements that have no part in the choice; null without any. */
export function relevanceTable(
  { relevance, candidates, shipped }: Pick<TrainReport, 'relevance' | 'candidates' | 'shipped'>,
  technical = false,
): ResultTable | null {
  if (relevance.length === 0) return null;
  const ofAll = (name: string): MeasuredCandidate[] =>
    relevance.map((set) =>
      expectDefined(
        set.candidates.find((one) => one.name === name),
        `the relevance of ${name}`,
      ),
    );
  const sorted = [...candidates].sort((a, b) => b.recallAt10 - a.recallAt10);
  return {
    title: 'Relevance',
    columns: [
      ['candidate'],
      ['recall@10', 3],
      ...relevance.map((set) => [`${set.measure}, ${set.name}`, 3] as const),
      ['front', undefined, 1],
    ],
    rows: [
      ...sorted.map(({ name, recallAt10 }) => {
        const measured = ofAll(name);
        const front = relevance.filter((_, i) => measured[i]?.onFront === true).map((set) => set.name);
        const isTldr = relevance.some(({ bestTldr }) => bestTldr === name);
        return {
          cells: [
            candidateLabel(name, technical),
            recallAt10,
            ...measured.map(({ value }) => value),
            front.join(', '),
          ],
          starred: name === shipped,
          picked: name === shipped ? 'saved' : undefined,
          folded: name !== shipped && !isTldr && front.length === 0 && !name.startsWith('pca'),
        };
      }),
      { cells: ['full vectors', 1, ...relevance.map(({ fullVectors }) => fullVectors), ''], starred: false },
    ],
    legend:
      'These labels or judgements have no part in the choice. mAP@100 is the mean average precision of the first 100 results: whether points with the label of a query are found first. nDCG@10 weighs right answers among the first ten by their places. A candidate is on the front if no other one is better both by recall@10 and by this measure: --ship saves the one that you pick.',
  };
}

/** Sentences about relevance: what the user has, what it says, and what relevance would ship. */
export function relevanceWords(
  { relevance, shipped }: Pick<TrainReport, 'relevance' | 'shipped'>,
  commandFor: (set: RelevanceReport) => string,
): readonly string[] {
  const kinds = new Set(relevance.map(({ kind }) => kind));
  return [
    ...relevance.flatMap((set) => setWords(set, shipped, commandFor(set))),
    ...(kinds.has('labels')
      ? [
          'labels measure whether points of one class are found together; they do not measure whether a query finds its single right answer, and an encoder that gathers classes can lose it: measure that with --queries and --qrels',
        ]
      : []),
    ...(kinds.has('qrels')
      ? [
          'judged queries measure whether their right answers are found; they do not measure whether points of one class are found together',
        ]
      : []),
  ];
}

/** Whether relevance would ship another candidate, by more than chance and by enough to be worth it. */
function wouldShipAnother({ best, candidates, leadOverShipped }: RelevanceReport, shipped: string): boolean {
  const value = (name: string): number =>
    expectDefined(
      candidates.find((one) => one.name === name),
      `the relevance of ${name}`,
    ).value;
  return (
    best !== shipped && leadOverShipped[0] > 0 && value(best) - value(shipped) >= MEASURED_LABELS.leadMin
  );
}

function setWords(set: RelevanceReport, shipped: string, command: string): string[] {
  const { name, kind, measure, fullVectors, candidates, best, queries, labels } = set;
  const of = (wanted: string): MeasuredCandidate =>
    expectDefined(
      candidates.find((one) => one.name === wanted),
      `the relevance of ${wanted}`,
    );
  const by = kind === 'labels' ? `by \`${name}\`` : 'by your judged queries';
  const what = kind === 'labels' ? `${labels} labels, ${queries} queries` : `${queries} queries`;
  const values = `${measure} ${of(best).value.toFixed(3)}, full vectors ${fullVectors.toFixed(3)}`;
  if (!wouldShipAnother(set, shipped)) {
    const own = of(shipped);
    return [
      `${by}, the compact space of ${candidateLabel(shipped)}, which is saved, is ${comparedWithFull(own, fullVectors)} (${measure} ${own.value.toFixed(3)}, full vectors ${fullVectors.toFixed(3)}; ${what}); relevance would not ship another candidate`,
    ];
  }
  return [
    `${by}, the compact space of ${candidateLabel(best)} is ${comparedWithFull(of(best), fullVectors)} (${values}; ${candidateLabel(shipped)}, which is saved, ${of(shipped).value.toFixed(3)}; ${what}); ship it with --objective relevance, which also trains it for longer:`,
    `  ${command}`,
  ];
}

function comparedWithFull({ value, lead }: MeasuredCandidate, fullVectors: number): string {
  const points = Math.abs(100 * (value - fullVectors)).toFixed(1);
  if (isWithinNoise(lead)) return 'about as good as your full vectors';
  return lead[0] > 0
    ? `${points} points better than your full vectors`
    : `${points} points behind your full vectors`;
}

/** Flags that the command for relevance gives anew, or leaves out. */
const REPLACED = ['--objective', '--labels-field', '--ship', '--checkpoint', '--out', '--report'];
/** Output files that get a name of their own, so that no file is overwritten. */
const OUTPUTS = ['--out', '--report'];

/**
 * Returns the words of the command that trains for relevance by these labels or judgements, from the words of the one
 * that was run. Its output files get names of their own, and it has no checkpoint.
 */
export function relevanceCommandWords(
  args: readonly string[],
  set: Pick<RelevanceReport, 'name' | 'kind'>,
): string[] {
  const words: string[] = [];
  for (let i = 0; i < args.length; i++) {
    const word = expectDefined(args[i], 'a word of the command');
    const flag = REPLACED.find((name) => word === name || word.startsWith(`${name}=`));
    if (flag === undefined) {
      words.push(word);
      continue;
    }
    const value = word === flag ? args[++i] : word.slice(flag.length + 1);
    if (value !== undefined && OUTPUTS.includes(flag)) words.push(`${flag}=${forRelevance(value)}`);
  }
  const isField = set.kind === 'labels' && !words.some((word) => /^--labels(?:=|$)/.test(word));
  return [...words, '--objective=relevance', ...(isField ? [`--labels-field=${set.name}`] : [])];
}

/** `enc.onnx` as `enc-relevance.onnx`. */
function forRelevance(path: string): string {
  return path.replace(/(\.[^./\\]*)?$/, (ending) => `-relevance${ending}`);
}
