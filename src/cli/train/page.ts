import { expectDefined } from '../../core/errors.js';
import type { Encoder } from '../../encoder/model.js';
import { formatInterval, formatNumber, formatPercent, formatShare } from '../../report/format.js';
import type {
  KeyFigure,
  MemoryBars,
  PageStep,
  ReportInput,
  ReportVerdict,
  SampleMap,
} from '../../report/input.js';
import { searchHeadline } from '../page-parts/verdict-words.js';
import type { TrainDetails } from '../../select/train-encoder.js';
import type { RelevanceReport } from '../../select/measure-relevance.js';
import { isWithinNoise, type TrainReport } from '../../select/train-report.js';
import { engineText } from '../../train/engine/engine-report.js';
import { candidateLabel } from './candidate-names.js';
import { candidateTable, oldAndNewTables, refitWords, timeWords } from './output.js';
import { relevanceTable, relevanceWords } from './relevance-output.js';

/** Numbers of points for which the page says how much memory vectors take. */
const MILLIONS = [1, 5] as const;

export interface TrainingPageParts {
  readonly report: TrainReport;
  readonly details: TrainDetails;
  readonly encoder: Encoder;
  readonly map: SampleMap | null;
  readonly next: readonly PageStep[];
  readonly source: string;
  /** The command that was run. */
  readonly command: string;
  /** The command that ships by a set of labels or judgements. */
  readonly commandFor: (set: RelevanceReport) => string;
}

/** Returns a training as the input of a report. */
export function trainingPage(parts: TrainingPageParts): ReportInput {
  const { report, details, encoder, source, command } = parts;
  const shownPerQuery = [report.shipped, betterPca(report)].filter(
    (name, i, all): name is string => name !== undefined && all.indexOf(name) === i,
  );
  const shown = [...details.losses].find(([name]) => name === report.shipped) ?? [...details.losses].at(-1);
  const { map, next } = parts;
  const memory = vectorBytes(report);
  const measured = relevanceTable(report);
  return {
    title: `${source}: ${report.inputDim} to ${report.outputDim} dimensions`,
    createdBy: encoder.metadata.createdBy,
    verdict: verdictOf(parts),
    facts: factsOf(report, source),
    figures: figuresOf(report),
    memory,
    next,
    relevanceFronts: report.relevance.map(({ name, measure, fullVectors, candidates }) => ({
      name,
      measure,
      fullVectors,
      points: candidates.map((one) => ({
        ...one,
        name: candidateLabel(one.name),
        chosen: one.name === report.shipped,
      })),
    })),
    perQuery: shownPerQuery.map((name) => ({
      name: candidateLabel(name),
      values: expectDefined(details.perQuery.get(name), `the queries of ${name}`),
    })),
    ...(shown === undefined || shown[1].length === 0
      ? {}
      : { lossCurve: { name: candidateLabel(shown[0]), values: shown[1] } }),
    ...(map === null ? {} : { map }),
    reproduce: [command],
    tables: [candidateTable(report), ...(measured === null ? [] : [measured]), ...oldAndNewTables(report)],
  };
}

function betterPca({ candidates }: TrainReport): string | undefined {
  return candidates
    .filter(({ name }) => name === 'pca' || name === 'pca-uncentred')
    .sort((a, b) => b.objective - a.objective)[0]?.name;
}

function verdictOf({ report, commandFor }: TrainingPageParts): ReportVerdict {
  const shipped = report.candidates.find(({ name }) => name === report.shipped);
  if (shipped === undefined) return { tone: 'bad', headline: 'No candidate was chosen', details: [] };
  const share = (value: number): string => formatPercent(value, 1);
  const best = Math.max(...report.candidates.map(({ objective }) => objective));
  const chosen = shipped.objective >= best - 0.001;
  const memory = vectorBytes(report);
  return {
    tone: shipped.r10At100 >= 0.97 ? 'good' : shipped.r10At100 >= 0.9 ? 'caution' : 'bad',
    headline: searchHeadline(shipped.r10At100, memory.pairs[0] ?? null, 'RAM for vectors'),
    lead: `That is the two-stage layout with ${report.outputDim} of ${report.inputDim} dimensions: search by compact vectors in RAM, then the first 100 results ordered by full vectors on disk. Without the second stage, search finds ${share(shipped.recallAt10)}.`,
    details: [
      `The saved encoder is “${candidateLabel(report.shipped)}”.`,
      ...(chosen
        ? []
        : [`--ship named it; another candidate does better: ${best.toFixed(3)} ${report.objective}.`]),
      leadWords(report),
      `On queries that took no part in the choice, it finds ${share(shipped.confirmed.recallAt10)} without the second stage${gapWords(report)}.`,
      ...relevanceWords(report, commandFor).map((line) => line.replaceAll(/`([^`]*)`/g, '“$1”')),
    ],
  };
}

/** How far the saved candidate is from the best one, on the queries that took no part in the choice. */
function gapWords({ confirmedGap, objective }: TrainReport): string {
  const points = (confirmedGap * 100).toFixed(1);
  if (points === '0.0') return ', and no candidate is clearly better there';
  return `; by ${objective}, the best candidate there is ${points} points better`;
}

/** The bytes of full and of compact vectors, for whole numbers of millions of points. */
function vectorBytes({ inputDim, outputDim }: TrainReport): MemoryBars {
  const bytes = (dim: number, millions: number): number =>
    millions * 1e6 * dim * Float32Array.BYTES_PER_ELEMENT;
  return {
    title: 'RAM for vectors',
    pairs: MILLIONS.map((millions) => ({
      name: `${millions} million points`,
      before: bytes(inputDim, millions),
      after: bytes(outputDim, millions),
    })),
    note: 'Both as float32, without an index. The plan command measures other kinds of storage.',
  };
}

/** Compares the shipped candidate with the better PCA, by the objective of the choice. */
function leadWords({ leadOverPca, objective }: TrainReport): string {
  if (leadOverPca === null)
    return 'PCA is saved: no candidate was better by more than a tie, or --ship named it.';
  const [low, high] = leadOverPca;
  const between = `${(low * 100).toFixed(1)} to ${(high * 100).toFixed(1)} points of ${objective}, 95 % interval, the same queries`;
  if (isWithinNoise(leadOverPca))
    return `Its difference to the better PCA is within the noise of the measurement: ${between}.`;
  return leadOverPca[0] > 0
    ? `It is above the better PCA by ${between}.`
    : `It is below the better PCA: ${between}.`;
}

function factsOf(report: TrainReport, source: string): [string, string][] {
  const { sample, graph } = report;
  const refitted = refitWords(report);
  const time = timeWords(report);
  return [
    ['Source', source],
    ['Vectors sampled', formatNumber(sample.rows)],
    ['Left out', `${sample.zeroRows} zero vectors, ${sample.duplicateRows} exact duplicates`],
    ['Constant dimensions', formatNumber(sample.constantDims)],
    ['Learned from', `${formatNumber(report.trainRows)} vectors of ${report.inputDim} dimensions`],
    [
      'Judged by',
      `${formatNumber(report.heldOutQueries)} queries to choose, ${formatNumber(report.confirmQueries)} to confirm`,
    ],
    ...(report.fitQueries === 0
      ? []
      : [
          ['Candidates with queries', `fitted to ${formatNumber(report.fitQueries)} other queries`] as [
            string,
            string,
          ],
        ]),
    ['Chosen by', report.objective],
    ...(refitted === null ? [] : [['Second fit', refitted] as [string, string]]),
    ...(time === null ? [] : [['Time', time] as [string, string]]),
    ...(graph === null
      ? []
      : [
          ['Neighbours', `${graph.method}, k ${graph.k}, recall ${graph.recall.toFixed(3)}`] as [
            string,
            string,
          ],
        ]),
    ['Seed', String(report.seed)],
    ['Data fingerprint', report.dataFingerprint.slice(0, 16)],
    [
      'Versions',
      Object.entries(report.versions)
        .map((pair) => pair.join(' '))
        .join(', '),
    ],
    ...[...new Set(report.training.map(engineText))].map((text) => ['Engine', text] as [string, string]),
    ['Hardware', report.hardware],
  ];
}

/** The recall of the saved candidate, and what rescoring recovers. */
function figuresOf({ candidates, shipped }: TrainReport): KeyFigure[] {
  return candidates
    .filter(({ name }) => name === shipped)
    .flatMap(({ recallAt10, interval, r10At30, r10At100 }) => [
      { term: 'Recall@10', value: formatShare(recallAt10), note: formatInterval(interval) },
      { term: 'In the first 30', value: formatShare(r10At30), note: 'R10@30, what rescoring 30 finds' },
      { term: 'In the first 100', value: formatShare(r10At100), note: 'R10@100, what rescoring 100 finds' },
    ]);
}
