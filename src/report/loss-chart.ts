import type { Canvas, ChartSize, ReportFigure } from './canvas.js';
import { formatNumber } from './format.js';

const MARGINS = { marginLeft: 52, marginRight: 14, marginTop: 30, marginBottom: 44 };
/** Largest number of points of a loss curve. */
const LOSS_BUCKETS = 200;
/** If the largest loss exceeds the smallest by more than this factor, the axis is logarithmic. */
const LOG_RATIO = 20;

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
