import { firstNonFiniteRow, row, type Matrix } from '../core/matrix.js';
import { Rng } from '../core/rng.js';
import type { Canvas, ChartSize, LegendItem, ReportFigure } from './canvas.js';
import { formatNumber } from './format.js';

const MARGINS = { marginLeft: 52, marginRight: 14, marginTop: 30, marginBottom: 44 };
/** Largest number of points of a loss curve. */
const LOSS_BUCKETS = 200;
/** If the largest loss exceeds the smallest by more than this factor, the axis is logarithmic. */
const LOG_RATIO = 20;
const MAP_POINTS_MAX = 2000;
const MAP_LABELS_MAX = 8;

interface LossBucket {
  readonly step: number;
  readonly mean: number;
  readonly low: number;
  readonly high: number;
}

/** The chart of loss against steps; null if no value is finite. */
export function lossFigure(
  canvas: Canvas,
  { name, values }: { readonly name: string; readonly values: readonly number[] },
): ReportFigure | null {
  const buckets = bucketLoss(values);
  const [first, last] = [buckets[0], buckets.at(-1)];
  if (first === undefined || last === undefined) return null;
  const skipped = values.filter((value) => !Number.isFinite(value)).length;
  const steps = `${formatNumber(values.length)} ${values.length === 1 ? 'step' : 'steps'}`;
  const verb = last.mean < first.mean ? 'fell' : 'went';
  const left = skipped === 0 ? '' : `; ${formatNumber(skipped)} without a finite value not shown`;
  const summary = `The loss (${name}) ${verb} from ${formatNumber(first.mean, 3)} to ${formatNumber(last.mean, 3)} over ${steps}${left}.`;
  return {
    title: 'Loss during training',
    summary,
    hint: 'The line is the mean of neighbouring steps, the band their range.',
    legend: [{ label: name, colour: 'var(--accent)', shape: 'line' }],
    narrow: drawLoss(canvas, buckets, { size: { width: 310, height: 250, narrow: true }, summary }),
    wide: drawLoss(canvas, buckets, { size: { width: 468, height: 300, narrow: false }, summary }),
    spans: false,
  };
}

function drawLoss(
  { plot, draw }: Canvas,
  buckets: readonly LossBucket[],
  { size, summary }: { size: ChartSize; summary: string },
): string {
  const low = Math.min(...buckets.map((bucket) => bucket.low));
  const high = Math.max(...buckets.map((bucket) => bucket.high));
  const isLog = low > 0 && high / low > LOG_RATIO;
  return draw(size, summary, {
    ...MARGINS,
    x: { label: null },
    y: { type: isLog ? 'log' : 'linear', nice: true, label: null },
    marks: [
      plot.gridY({ stroke: 'var(--line)', strokeOpacity: 1, ticks: 5 }),
      plot.axisY({
        color: 'var(--muted)',
        label: isLog ? 'loss, logarithmic' : 'loss',
        labelArrow: 'none',
        tickSize: 0,
        ticks: 5,
        tickFormat: (value: number) => formatNumber(value, 3),
      }),
      plot.axisX({
        color: 'var(--muted)',
        label: 'step',
        labelArrow: 'none',
        ticks: size.narrow ? 3 : 6,
        tickFormat: (value: number) => (Number.isInteger(value) ? formatNumber(value) : ''),
      }),
      plot.areaY(buckets, { x: 'step', y1: 'low', y2: 'high', fill: 'var(--accent)', fillOpacity: 0.18 }),
      plot.line(buckets, { x: 'step', y: 'mean', stroke: 'var(--accent)', strokeWidth: 2 }),
      ...(buckets.length === 1
        ? [plot.dot(buckets, { x: 'step', y: 'mean', fill: 'var(--accent)', r: 4 })]
        : []),
    ],
  });
}

/** Mean and range of the finite losses in each run of neighbouring steps. Runs without any are omitted. */
function bucketLoss(values: readonly number[]): LossBucket[] {
  const size = Math.max(1, Math.ceil(values.length / LOSS_BUCKETS));
  const buckets: LossBucket[] = [];
  for (let start = 0; start < values.length; start += size) {
    const finite = values.slice(start, start + size).filter((value) => Number.isFinite(value));
    if (finite.length === 0) continue;
    buckets.push({
      step: start + Math.min(size, values.length - start) / 2 + 0.5,
      mean: finite.reduce((sum, value) => sum + value, 0) / finite.length,
      low: Math.min(...finite),
      high: Math.max(...finite),
    });
  }
  return buckets;
}

interface MapPoint {
  readonly x: number;
  readonly y: number;
  readonly colour: string;
}

/** The map of the sample in two dimensions, coloured by its most frequent labels; null without points. */
export function mapFigure(
  canvas: Canvas,
  { points, labels }: { readonly points: Matrix; readonly labels?: readonly string[] },
): ReportFigure | null {
  const kept = new Rng(0)
    .permutation(points.rows)
    .filter((i) => firstNonFiniteRow({ rows: 1, cols: points.cols, data: row(points, i) }) < 0)
    .subarray(0, MAP_POINTS_MAX);
  if (kept.length === 0) return null;
  const top = labels === undefined ? [] : topLabels(labels);
  const colourOf = (i: number): string => {
    const rank = top.findIndex(({ label }) => label === labels?.[i]);
    if (rank >= 0) return `var(--c${rank + 1})`;
    return top.length === 0 ? 'var(--accent)' : 'var(--other)';
  };
  const marks = Array.from(kept, (i): MapPoint => {
    const [x = 0, y = 0] = row(points, i);
    return { x, y, colour: colourOf(i) };
  }).sort((a, b) => Number(b.colour === 'var(--other)') - Number(a.colour === 'var(--other)'));
  const legend: LegendItem[] = top.map(({ label }, i) => ({
    label: label === '' ? '(empty)' : label,
    colour: `var(--c${i + 1})`,
    shape: 'disc',
  }));
  if (marks[0]?.colour === 'var(--other)') {
    legend.push({ label: 'others', colour: 'var(--other)', shape: 'disc' });
  }
  const summary = summarizeMap({ shown: kept.length, rows: points.rows, top });
  return {
    title: 'Map of the sample',
    summary,
    hint: 'Each dot is one point. Two dimensions keep only the coarse shape of the data.',
    legend,
    narrow: drawMap(canvas, marks, { size: { width: 310, height: 280, narrow: true }, summary }),
    wide: drawMap(canvas, marks, { size: { width: 468, height: 340, narrow: false }, summary }),
    spans: false,
  };
}

/** The most frequent labels, in that order. Labels that occur only once get no colour of their own. */
function topLabels(labels: readonly string[]): { label: string; count: number }[] {
  const counts = new Map<string, number>();
  for (const label of labels) counts.set(label, (counts.get(label) ?? 0) + 1);
  return [...counts]
    .map(([label, count]) => ({ label, count }))
    .filter(({ count }) => count > 1)
    .sort((a, b) => b.count - a.count || (a.label < b.label ? -1 : 1))
    .slice(0, MAP_LABELS_MAX);
}

function summarizeMap(map: {
  shown: number;
  rows: number;
  top: readonly { label: string; count: number }[];
}): string {
  const all = formatNumber(map.rows);
  const points = map.shown === map.rows ? `${all} points` : `${formatNumber(map.shown)} of ${all} points`;
  const [largest] = map.top;
  if (largest === undefined) return `${points} of the sample in two dimensions.`;
  const share = `the largest group is ${largest.label} with ${formatNumber(largest.count)} points`;
  return `${points} of the sample in two dimensions, coloured by label; ${share}.`;
}

/** Draws both axes in the same unit, so that distances are not distorted. */
function drawMap(
  { plot, draw }: Canvas,
  marks: readonly MapPoint[],
  { size, summary }: { size: ChartSize; summary: string },
): string {
  const margin = 8;
  const [x, y] = [marks.map((mark) => mark.x), marks.map((mark) => mark.y)];
  const [middleX, halfX] = middleAndHalf(x);
  const [middleY, halfY] = middleAndHalf(y);
  const [width, height] = [size.width - 2 * margin, size.height - 2 * margin];
  const unit = Math.max(halfX / width, halfY / height, 1e-12) * 1.02;
  return draw(size, summary, {
    margin,
    x: { domain: [middleX - unit * width, middleX + unit * width], axis: null },
    y: { domain: [middleY - unit * height, middleY + unit * height], axis: null },
    color: { type: 'identity' },
    marks: [
      plot.frame({ stroke: 'var(--line)', inset: -margin + 0.5, rx: 6 }),
      plot.dot(marks, { x: 'x', y: 'y', fill: 'colour', fillOpacity: 0.7, r: size.narrow ? 1.7 : 2.2 }),
    ],
  });
}

function middleAndHalf(values: readonly number[]): readonly [number, number] {
  const low = values.reduce((a, b) => Math.min(a, b), Infinity);
  const high = values.reduce((a, b) => Math.max(a, b), -Infinity);
  return [(low + high) / 2, (high - low) / 2];
}
