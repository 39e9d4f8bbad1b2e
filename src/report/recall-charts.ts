import { expectDefined } from '../core/errors.js';
import { recallAxisOf, type Canvas, type ChartSize, type ReportFigure } from './canvas.js';
import { formatNumber, formatPercent, formatShare } from './format.js';
import type { PerQuery } from '../core/recall-per-query.js';
import type { RecallPerDim } from './input.js';

const WIDE: ChartSize = { width: 468, height: 300, narrow: false };
const NARROW: ChartSize = { width: 310, height: 250, narrow: true };
const MARGINS = { marginLeft: 46, marginRight: 14, marginTop: 30, marginBottom: 44 };
const SYMBOLS = [
  { shape: 'disc', symbol: 'circle' },
  { shape: 'square', symbol: 'square' },
  { shape: 'triangle', symbol: 'triangle' },
  { shape: 'diamond', symbol: 'diamond2' },
] as const;
/** Bins of a histogram of recall: 0, 0.1, ... 1. */
const BINS = 11;
/** Part of a bin's width that its bars fill. */
const BAR_SHARE = 0.84;
/** Pixels between two ticks that keep their labels apart. */
const TICK_PIXELS_MIN = 34;

/** Returns the colour of a method, which is the same in every chart. */
export type ColourOf = (name: string) => string;

interface DimPoint {
  readonly dim: number;
  readonly recall: number;
  readonly low: number;
  readonly high: number;
}

/** The chart of recall against dimensions, with a line for each method. */
export function recallPerDimFigure(
  canvas: Canvas,
  series: readonly RecallPerDim[],
  colourOf: ColourOf,
): ReportFigure {
  const summary = summarizePerDim(series);
  const options = { colourOf, summary };
  return {
    title: 'Recall at each size',
    summary,
    hint: 'Bands are 95 % intervals over queries; the axis of dimensions is logarithmic.',
    legend: series.map(({ name }, i) => ({ label: name, colour: colourOf(name), shape: symbolOf(i).shape })),
    narrow: drawPerDim(canvas, series, { ...options, size: NARROW }),
    wide: drawPerDim(canvas, series, { ...options, size: WIDE }),
    spans: false,
  };
}

function drawPerDim(
  { plot, draw }: Canvas,
  series: readonly RecallPerDim[],
  { size, summary, colourOf }: { size: ChartSize; summary: string; colourOf: ColourOf },
): string {
  const points = series.flatMap((one) => one.points);
  const dims = [...new Set(points.map(({ dim }) => dim))].sort((a, b) => a - b);
  const [first, last] = ends(dims);
  const y = recallAxisOf(points.map(({ interval }) => interval));
  const domain = first === last ? [first / 2, last * 2] : [first / 1.06, last * 1.06];
  const marks = series.flatMap(({ name, points: own }, i) => {
    const data = own
      .map(({ dim, recallAt10, interval: [low, high] }): DimPoint => ({ dim, recall: recallAt10, low, high }))
      .sort((a, b) => a.dim - b.dim);
    const colour = colourOf(name);
    const range = { x: 'dim', y1: 'low', y2: 'high' } as const;
    return [
      plot.areaY(data, { ...range, fill: colour, fillOpacity: 0.14 }),
      plot.ruleX(data, { ...range, stroke: colour, strokeOpacity: 0.5 }),
      plot.line(data, { x: 'dim', y: 'recall', stroke: colour, strokeWidth: 2 }),
      plot.dot(data, {
        x: 'dim',
        y: 'recall',
        r: 4,
        fill: colour,
        stroke: 'var(--surface)',
        symbol: symbolOf(i).symbol,
        title: ({ dim, recall }: DimPoint) => `${name}, ${dim} dimensions: ${formatShare(recall)}`,
      }),
    ];
  });
  return draw(size, summary, {
    ...MARGINS,
    x: { type: 'log', domain, label: null },
    y: { domain: y.domain, label: null },
    marks: [
      plot.gridY(y.ticks, { stroke: 'var(--line)', strokeOpacity: 1 }),
      plot.axisY(y.ticks, {
        color: 'var(--muted)',
        label: 'recall@10',
        labelArrow: 'none',
        tickSize: 0,
        text: y.format,
      }),
      plot.axisX(spreadTicks(dims, size), {
        color: 'var(--muted)',
        label: 'dimensions',
        labelArrow: 'none',
        text: (dim: number) => formatNumber(dim),
      }),
      ...marks,
    ],
  });
}

/** The first and the last of these numbers, of which there is at least one. */
function ends(numbers: readonly number[]): [number, number] {
  return [expectDefined(numbers[0], 'the first number'), expectDefined(numbers.at(-1), 'the last number')];
}

/** Ticks at the largest of the dims, and at each smaller one whose label does not touch the next label. */
function spreadTicks(dims: readonly number[], { width }: ChartSize): number[] {
  const pixels = width - MARGINS.marginLeft - MARGINS.marginRight;
  const [first, last] = ends(dims);
  const scale = pixels / Math.max(1e-9, Math.log(last / first));
  const ticks: number[] = [];
  for (const dim of [...dims].reverse()) {
    const after = ticks.at(-1);
    if (after === undefined || Math.log(after / dim) * scale >= TICK_PIXELS_MIN) ticks.push(dim);
  }
  return ticks.reverse();
}

function summarizePerDim(series: readonly RecallPerDim[]): string {
  const dims = series.flatMap((one) => one.points.map(({ dim }) => dim));
  const leaderAt = (dim: number): { readonly name: string; readonly recallAt10: number } =>
    series
      .flatMap(({ name, points }) =>
        points.filter((point) => point.dim === dim).map(({ recallAt10 }) => ({ name, recallAt10 })),
      )
      .reduce((a, b) => (b.recallAt10 > a.recallAt10 ? b : a));
  const [low, high] = [Math.min(...dims), Math.max(...dims)];
  const [small, large] = [leaderAt(low), leaderAt(high)];
  const first = `At ${formatNumber(low)} dimensions ${small.name} is best with ${formatShare(small.recallAt10)}`;
  if (low === high) return `${first}.`;
  const who = small.name === large.name ? 'it still is' : `${large.name} is`;
  return `${first}; at ${formatNumber(high)} ${who} with ${formatShare(large.recallAt10)}.`;
}

interface Bar {
  readonly from: number;
  readonly to: number;
  readonly share: number;
}

/** The histogram of the recall@k of single queries, with a set of bars for each method. */
export function perQueryFigure(
  canvas: Canvas,
  { methods, k }: { readonly methods: readonly PerQuery[]; readonly k: number },
  colourOf: ColourOf,
): ReportFigure {
  const summary = summarizePerQuery(methods, k);
  const options = { colourOf, summary, k };
  return {
    title: 'Recall of single queries',
    summary,
    hint: `How many queries (height) find which share of their true ${numberWord(k)} nearest (across).`,
    legend: methods.map(({ name }) => ({ label: name, colour: colourOf(name), shape: 'bar' })),
    narrow: drawPerQuery(canvas, methods, { ...options, size: NARROW }),
    wide: drawPerQuery(canvas, methods, { ...options, size: WIDE }),
    spans: false,
  };
}

function numberWord(k: number): string {
  return k === 10 ? 'ten' : String(k);
}

function summarizePerQuery(methods: readonly PerQuery[], k: number): string {
  const few = methods.map(({ values }) => shareOf(values, (value) => value < 0.4999));
  const all = methods.map(({ values }) => shareOf(values, (value) => value > 0.999));
  const list = (shares: readonly number[]): string =>
    listOf(methods.map(({ name }, i) => `${formatPercent(shares[i] ?? Number.NaN)} (${name})`));
  const found = k === 1 ? 'the nearest' : `all ${numberWord(k)} neighbours`;
  const rest = few.every((share) => share === 0)
    ? 'No query finds fewer than half.'
    : `Queries that find fewer than half: ${list(few)}.`;
  return `Queries that find ${found}: ${list(all)}. ${rest}`;
}

/** Joins texts: a, b and c. */
function listOf(texts: readonly string[]): string {
  return texts.length < 2
    ? texts.join('')
    : `${texts.slice(0, -1).join(', ')} and ${expectDefined(texts.at(-1), 'the last text')}`;
}

function drawPerQuery(
  { plot, draw }: Canvas,
  methods: readonly PerQuery[],
  { size, summary, colourOf, k }: { size: ChartSize; summary: string; colourOf: ColourOf; k: number },
): string {
  const binTicks = Array.from({ length: BINS }, (_, bin) => bin).filter(
    (bin) => !size.narrow || bin % 2 === 0,
  );
  const bars = methods.map(({ values }, method) =>
    binShares(values).map((share, bin): Bar => {
      const from = bin - BAR_SHARE / 2 + (method * BAR_SHARE) / methods.length;
      return { from, to: from + BAR_SHARE / methods.length, share };
    }),
  );
  return draw(size, summary, {
    ...MARGINS,
    x: { domain: [-0.5, BINS - 0.5], label: null },
    y: { domain: [0, 1.05 * Math.max(0.01, ...bars.flat().map(({ share }) => share))], label: null },
    marks: [
      plot.gridY({ stroke: 'var(--line)', strokeOpacity: 1, ticks: 5 }),
      plot.axisY({
        color: 'var(--muted)',
        label: 'share of queries',
        labelArrow: 'none',
        tickSize: 0,
        ticks: 5,
        tickFormat: (share: number) => formatPercent(share),
      }),
      ...bars.map((own, method) =>
        plot.rect(
          own.filter(({ share }) => share > 0),
          {
            x1: 'from',
            x2: 'to',
            y1: 0,
            y2: 'share',
            insetRight: 0.5,
            fill: colourOf(expectDefined(methods[method], 'the method of the bars').name),
            title: ({ share }: Bar) => formatPercent(share),
          },
        ),
      ),
      plot.ruleY([0], { stroke: 'currentColor' }),
      plot.axisX(binTicks, {
        color: 'var(--muted)',
        label: `recall@${k} of a query`,
        labelArrow: 'none',
        tickSize: 0,
        tickFormat: (bin: number) => String(bin / (BINS - 1)),
      }),
    ],
  });
}

function binShares(values: Float64Array): number[] {
  const counts = new Array<number>(BINS).fill(0);
  const finite = values.filter((value) => Number.isFinite(value));
  for (const value of finite) {
    const bin = Math.min(BINS - 1, Math.max(0, Math.round(value * (BINS - 1))));
    counts[bin] = expectDefined(counts[bin], 'the count of a bin') + 1;
  }
  return counts.map((count) => (finite.length === 0 ? 0 : count / finite.length));
}

function shareOf(values: Float64Array, test: (value: number) => boolean): number {
  return values.length === 0 ? 0 : values.filter(test).length / values.length;
}

function symbolOf(i: number): (typeof SYMBOLS)[number] {
  return SYMBOLS[i % SYMBOLS.length] ?? SYMBOLS[0];
}
