import { expectDefined } from '../../core/errors.js';
import { Encoder } from '../../encoder/model.js';
import { gatherRows, matrix, type Matrix } from '../../core/matrix.js';
import { Rng } from '../../core/rng.js';
import { formatInterval, formatNumber, formatPercent, formatShare } from '../../report/format.js';
import type { KeyFigure, ReportInput, ReportVerdict } from '../../report/input.js';
import type { TrainDetails } from '../../select/train-encoder.js';
import type { RelevanceReport } from '../../select/measure-relevance.js';
import { isWithinNoise, type TrainReport } from '../../select/train-report.js';
import { candidateLabel } from './candidate-names.js';
import { candidateTable, oldAndNewTables, refitWords } from './output.js';
import { relevanceTable, relevanceWords } from './relevance-output.js';

/** Most points on the map. */
const MAP_POINTS = 2000;

export interface TrainingPageParts {
  readonly report: TrainReport;
  readonly details: TrainDetails;
  readonly encoder: Encoder;
  /** Every candidate by name. */
  readonly candidates: ReadonlyMap<string, Encoder>;
  readonly x: Matrix;
  /** A label per row of x, if labels were given. */
  readonly labels?: readonly string[] | undefined;
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
  const map = mapOf(parts);
  const measured = relevanceTable(report);
  return {
    title: `${source}: ${report.inputDim} to ${report.outputDim} dimensions`,
    createdBy: encoder.metadata.createdBy,
    verdict: verdictOf(parts),
    facts: factsOf(report, source),
    figures: figuresOf(report),
    relevanceFronts: report.relevance.map(({ name, measure, fullVectors, candidates }) => ({
      name,
      measure,
      fullVectors,
      points: candidates.map((one) => ({ ...one, chosen: one.name === report.shipped })),
    })),
    perQuery: shownPerQuery.map((name) => ({
      name,
      values: expectDefined(details.perQuery.get(name), `the queries of ${name}`),
    })),
    ...(shown === undefined || shown[1].length === 0
      ? {}
      : { lossCurve: { name: shown[0], values: shown[1] } }),
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
  return {
    tone: shipped.recallAt10 >= 0.9 ? 'good' : shipped.r10At100 >= 0.9 ? 'caution' : 'bad',
    headline: `${candidateLabel(report.shipped)} finds ${share(shipped.recallAt10)} of the true ten nearest with ${report.outputDim} of ${report.inputDim} dimensions`,
    details: [
      ...(chosen
        ? []
        : [`--ship named it; another candidate does better: ${best.toFixed(3)} ${report.objective}.`]),
      leadWords(report),
      `${share(shipped.r10At100)} of them are among the first 100 results: rescoring with the full vectors recovers these.`,
      `On queries that took no part in choosing it finds ${share(shipped.confirmed.recallAt10)}; by ${report.objective}, which chose it, it is ${(report.confirmedGap * 100).toFixed(1)} points below the best candidate there.`,
      ...relevanceWords(report, commandFor),
    ],
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
          ['Query-aware candidate', `fitted to ${formatNumber(report.fitQueries)} other queries`] as [
            string,
            string,
          ],
        ]),
    ['Chosen by', report.objective],
    ...(refitted === null ? [] : [['Second fit', refitted] as [string, string]]),
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

/** Returns the first two principal components of a part of the sample; null without a PCA candidate. */
function mapOf({ candidates, x, labels, report }: TrainingPageParts): NonNullable<ReportInput['map']> | null {
  const pca = candidates.get('pca') ?? candidates.get('pca-uncentred');
  if (pca === undefined || pca.outputDim < 2) return null;
  const chosen = new Rng(report.seed).permutation(x.rows).subarray(0, MAP_POINTS);
  const flat = new Encoder({ ...pca.network, normalizeOutput: false }, pca.metadata);
  const z = flat.project(gatherRows(x, chosen));
  const points = matrix(z.rows, 2);
  for (let i = 0; i < z.rows; i++) points.data.set(z.data.subarray(i * z.cols, i * z.cols + 2), i * 2);
  return {
    points,
    ...(labels === undefined
      ? {}
      : { labels: Array.from(chosen, (i) => expectDefined(labels[i], 'the label of a row')) }),
  };
}
