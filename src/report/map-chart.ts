import { expectDefined } from '../core/errors.js';
import { firstNonFiniteRow, row, type Matrix } from '../core/matrix.js';
import { Rng } from '../core/rng.js';
import type { Canvas, LegendItem, ReportFigure } from './canvas.js';
import { formatNumber } from './format.js';
import type { SampleMap } from './input.js';

const SIZE = { width: 468, height: 360, narrow: false } as const;
const MARGIN = 8;
const DOT_RADIUS = 2.6;
const POINTS_MAX = 2000;
const LABELS_MAX = 8;

interface MapPoint {
  readonly x: number;
  readonly y: number;
  readonly colour: string;
}

/**
 * The map of the sample, in all views with the same colours, those of its most frequent labels; null without
 * points.
 */
export function mapFigure(canvas: Canvas, { views, labels, labelledBy }: SampleMap): ReportFigure | null {
  const all = views[0]?.points.rows ?? 0;
  const kept = new Rng(0)
    .permutation(all)
    .filter((i) => views.every(({ points }) => isFinitePoint(points, i)))
    .subarray(0, POINTS_MAX);
  if (kept.length === 0) return null;
  const top = labels === undefined ? [] : topLabels(labels);
  const colourOf = (i: number): string => {
    const rank = top.findIndex(({ label }) => label === labels?.[i]);
    if (rank >= 0) return `var(--c${rank + 1})`;
    return top.length === 0 ? 'var(--accent)' : 'var(--other)';
  };
  // Other points are drawn first, so that they cover none with a colour of its own.
  const rows = Array.from(kept, (i) => ({ i, colour: colourOf(i) })).sort(
    (a, b) => Number(b.colour === 'var(--other)') - Number(a.colour === 'var(--other)'),
  );
  const legend: LegendItem[] = top.map(({ label }, i) => ({
    label: label === '' ? '(empty)' : label,
    colour: `var(--c${i + 1})`,
    shape: 'disc',
  }));
  if (rows[0]?.colour === 'var(--other)')
    legend.push({ label: 'others', colour: 'var(--other)', shape: 'disc' });
  const by = labelledBy ?? 'label';
  const summary = summarizeMap({ shown: kept.length, rows: all, top, by, views: views.length });
  return {
    title: views.length > 1 ? 'Map of the sample, before and after' : 'Map of the sample',
    summary,
    hint: 'Each dot is one point. Two dimensions keep only the coarse shape of the data.',
    legend,
    views: views.map(({ name, points }) => {
      const marks = rows.map(({ i, colour }): MapPoint => {
        const [x = 0, y = 0] = row(points, i);
        return { x, y, colour };
      });
      return { name, svg: drawMap(canvas, marks, `${name}: ${summary}`) };
    }),
    spans: views.length > 1,
  };
}

function isFinitePoint(points: Matrix, i: number): boolean {
  return firstNonFiniteRow({ rows: 1, cols: points.cols, data: row(points, i) }) < 0;
}

interface LabelCount {
  readonly label: string;
  readonly count: number;
}

/** The most frequent labels, in that order. Labels that occur only once get no colour of their own. */
function topLabels(labels: readonly string[]): LabelCount[] {
  const counts = new Map<string, number>();
  for (const label of labels) counts.set(label, (counts.get(label) ?? 0) + 1);
  return [...counts]
    .map(([label, count]) => ({ label, count }))
    .filter(({ count }) => count > 1)
    .sort((a, b) => b.count - a.count || (a.label < b.label ? -1 : 1))
    .slice(0, LABELS_MAX);
}

function summarizeMap(map: {
  readonly shown: number;
  readonly rows: number;
  readonly top: readonly LabelCount[];
  readonly by: string;
  readonly views: number;
}): string {
  const all = formatNumber(map.rows);
  const points = map.shown === map.rows ? `${all} points` : `${formatNumber(map.shown)} of ${all} points`;
  const twice = map.views > 1 ? ', the same in both maps' : '';
  const [largest] = map.top;
  if (largest === undefined) return `${points} of the sample in two dimensions${twice}.`;
  const share = `the largest group is ${largest.label} with ${formatNumber(largest.count)} points`;
  return `${points} of the sample in two dimensions${twice}, coloured by ${map.by}; ${share}.`;
}

/** Draws both axes in the same unit, so that distances are not distorted. */
function drawMap({ plot, draw }: Canvas, marks: readonly MapPoint[], label: string): string {
  const [middleX, halfX] = middleAndHalf(marks.map((mark) => mark.x));
  const [middleY, halfY] = middleAndHalf(marks.map((mark) => mark.y));
  const [width, height] = [SIZE.width - 2 * MARGIN, SIZE.height - 2 * MARGIN];
  const unit = Math.max(halfX / width, halfY / height, 1e-12) * 1.02;
  return draw(SIZE, label, {
    margin: MARGIN,
    x: { domain: [middleX - unit * width, middleX + unit * width], axis: null },
    y: { domain: [middleY - unit * height, middleY + unit * height], axis: null },
    color: { type: 'identity' },
    marks: [
      plot.frame({ stroke: 'var(--line)', inset: -MARGIN + 0.5, rx: 6 }),
      plot.dot(marks, { x: 'x', y: 'y', fill: 'colour', fillOpacity: 0.75, r: DOT_RADIUS }),
    ],
  });
}

function middleAndHalf(values: readonly number[]): readonly [number, number] {
  const sorted = Float64Array.from(values).sort();
  const low = expectDefined(sorted[0], 'the smallest value');
  const high = expectDefined(sorted.at(-1), 'the largest value');
  return [(low + high) / 2, (high - low) / 2];
}
