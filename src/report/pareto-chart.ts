import type { Markish } from '@observablehq/plot';
import { expectDefined } from '../core/errors.js';
import { recallAxisOf, type Canvas, type ChartSize, type LegendItem, type ReportFigure } from './canvas.js';
import { formatBytes, formatInterval, formatLatency, formatNumber, formatShare } from './format.js';
import type { ReportParetoRow } from './input.js';
import { alongLine, placeLabels, type LabelWish, type PlacedLabel } from './place-labels.js';

const WIDE: ChartSize = { width: 1014, height: 420, narrow: false };
const NARROW: ChartSize = { width: 310, height: 320, narrow: true };
const MARGIN = { left: 46, right: 16, top: 30, bottom: 44 };

const WIDE_TICKS_MAX = 12;
const NARROW_TICKS_MAX = 5;
const AT = { x: 'ramBytes', y: 'recallAt10' } as const;

const KINDS = [
  { kind: 'compact', label: 'compact vectors', colour: 'var(--accent)', shape: 'disc', symbol: 'circle' },
  { kind: 'full', label: 'full vectors', colour: 'var(--muted)', shape: 'square', symbol: 'square' },
  { kind: 'current', label: 'as it is today', colour: 'var(--ink)', shape: 'diamond', symbol: 'diamond' },
] as const;

type RowLabel = PlacedLabel & { readonly row: ReportParetoRow };

/** A scale from data to pixels, which the placement of labels needs. */
interface Axis {
  readonly type: 'log' | 'linear';
  readonly domain: readonly [number, number];
  readonly ticks: readonly number[];
  readonly pixel: (value: number) => number;
  readonly format: (value: number) => string;
}

/** The chart of recall against bytes of RAM, with a mark for each configuration. */
export function paretoFigure(canvas: Canvas, rows: readonly ReportParetoRow[]): ReportFigure {
  const summary = summarize(rows);
  const used = KINDS.filter(({ kind }) => rows.some((row) => row.kind === kind));
  const legend: LegendItem[] = used.map(({ label, colour, shape }) => ({ label, colour, shape }));
  if (rows.filter((row) => row.onFrontier).length > 1) {
    legend.push({ label: 'best recall for its RAM', colour: 'var(--accent)', shape: 'line' });
  }
  if (rows.some((row) => row.chosen)) legend.push({ label: 'chosen', colour: 'var(--ink)', shape: 'circle' });
  return {
    title: 'Recall and memory',
    summary,
    hint: 'Further up is better, further left is smaller. Vertical bars are 95 % intervals over queries.',
    legend,
    narrow: drawPareto(canvas, rows, { size: NARROW, summary }),
    wide: drawPareto(canvas, rows, { size: WIDE, summary }),
    spans: true,
  };
}

function drawPareto(
  canvas: Canvas,
  rows: readonly ReportParetoRow[],
  { size, summary }: { size: ChartSize; summary: string },
): string {
  const x = bytesAxis(
    rows.map((row) => row.ramBytes),
    size,
  );
  const y = recallAxis(rows, size);
  const { plot } = canvas;
  return canvas.draw(size, summary, {
    marginLeft: MARGIN.left,
    marginRight: MARGIN.right,
    marginTop: MARGIN.top,
    marginBottom: MARGIN.bottom,
    x: { type: x.type, domain: [...x.domain], label: null },
    y: { type: y.type, domain: [...y.domain], label: null },
    r: { type: 'identity' },
    symbol: { type: 'identity' },
    opacity: { type: 'identity' },
    color: { type: 'identity' },
    marks: [
      plot.gridY([...y.ticks], { stroke: 'var(--line)', strokeOpacity: 1 }),
      plot.axisY([...y.ticks], {
        color: 'var(--muted)',
        label: 'recall@10',
        labelArrow: 'none',
        tickSize: 0,
        text: y.format,
      }),
      plot.axisX([...x.ticks], {
        color: 'var(--muted)',
        label: x.type === 'log' ? 'RAM, logarithmic' : 'RAM',
        labelArrow: 'none',
        text: x.format,
      }),
      ...dataMarks(canvas, rows),
      ...labelMarks(canvas, labelsFor(rows, { x, y, size })),
    ],
  });
}

/** The marks: the frontier's line, each row's interval and symbol, and a ring around the chosen row. */
function dataMarks({ plot }: Canvas, rows: readonly ReportParetoRow[]): Markish[] {
  const frontier = rows.filter((row) => row.onFrontier).sort((a, b) => a.ramBytes - b.ramBytes);
  return [
    plot.line(frontier, { ...AT, stroke: 'var(--accent)', strokeOpacity: 0.5, strokeWidth: 1.5 }),
    plot.ruleX(rows, {
      x: 'ramBytes',
      y1: (row: ReportParetoRow) => row.interval[0],
      y2: (row: ReportParetoRow) => row.interval[1],
      stroke: (row: ReportParetoRow) => kindOf(row).colour,
      strokeOpacity: (row: ReportParetoRow) => (isProminent(row) ? 0.8 : 0.3),
    }),
    plot.dot(rows, {
      ...AT,
      r: (row: ReportParetoRow) => (row.kind === 'current' ? 5.5 : 4.5),
      symbol: (row: ReportParetoRow) => kindOf(row).symbol,
      fill: (row: ReportParetoRow) => kindOf(row).colour,
      fillOpacity: (row: ReportParetoRow) => (isProminent(row) ? 1 : 0.55),
      stroke: 'var(--surface)',
      title: describe,
    }),
    plot.dot(
      rows.filter((row) => row.chosen),
      { ...AT, r: 9, stroke: 'var(--ink)', strokeWidth: 2, title: describe },
    ),
  ];
}

function labelMarks({ plot }: Canvas, labels: readonly RowLabel[]): Markish[] {
  return labels.map(({ row, dx, dy, text, anchor }) =>
    plot.text([row], {
      ...AT,
      text: () => text,
      dx,
      dy,
      textAnchor: anchor,
      fontWeight: isNamed(row) ? 600 : 400,
      fill: isNamed(row) ? 'var(--ink)' : 'var(--muted)',
      stroke: 'var(--surface)',
      strokeWidth: 4,
    }),
  );
}

/** Labels of the chosen and the current row. In the wide chart, other rows of the frontier get theirs too. */
function labelsFor(
  rows: readonly ReportParetoRow[],
  { x, y, size }: { x: Axis; y: Axis; size: ChartSize },
): RowLabel[] {
  const named = rows.filter(isNamed).sort((a, b) => Number(b.chosen) - Number(a.chosen));
  const others = size.narrow ? [] : rows.filter((row) => row.onFrontier && !isNamed(row));
  const wished = [...named, ...others];
  const wishes = wished.map((row): LabelWish => {
    const role = [row.chosen ? 'chosen' : '', row.kind === 'current' ? 'today' : '']
      .filter(Boolean)
      .join(', ');
    const texts = role === '' ? [`${formatNumber(row.dim)}-d`] : [`${role}: ${row.label}`, role];
    return { x: x.pixel(row.ramBytes), y: y.pixel(row.recallAt10), texts };
  });
  const frame = {
    left: MARGIN.left,
    right: size.width - MARGIN.right,
    top: MARGIN.top - 12,
    bottom: size.height - MARGIN.bottom,
  };
  const marks = rows.map((row) => [x.pixel(row.ramBytes), y.pixel(row.recallAt10)] as const);
  const frontier = rows
    .filter((row) => row.onFrontier)
    .map((row) => [x.pixel(row.ramBytes), y.pixel(row.recallAt10)] as const)
    .sort((a, b) => a[0] - b[0]);
  const whiskers = rows.filter(isProminent).flatMap((row) => {
    const at = x.pixel(row.ramBytes);
    return alongLine(row.interval.map((recall) => [at, y.pixel(recall)] as const));
  });
  return placeLabels(wishes, frame, [...marks, ...alongLine(frontier), ...whiskers]).flatMap((label) => {
    const row = wished[label.wish];
    return row === undefined ? [] : [{ ...label, row }];
  });
}

function bytesAxis(values: readonly number[], { width, narrow }: ChartSize): Axis {
  const low = Math.min(...values);
  const high = Math.max(...values);
  const pixels = [MARGIN.left, width - MARGIN.right] as const;
  if (low <= 0) {
    const top = Math.max(high * 1.08, 1);
    return linearAxis(
      [0, top],
      [0, 0.25, 0.5, 0.75, 1].map((share) => share * high),
      pixels,
    );
  }
  const domain = [low / 1.25, high * 1.25] as const;
  const ticks = logTicks(domain, narrow ? NARROW_TICKS_MAX : WIDE_TICKS_MAX);
  const scale = (pixels[1] - pixels[0]) / Math.log(domain[1] / domain[0]);
  const pixel = (value: number): number => pixels[0] + Math.log(value / domain[0]) * scale;
  return { type: 'log', domain, ticks, pixel, format: formatBytes };
}

/** Round numbers of bytes within the domain: at most `ticksMax`, unless there are more powers of ten. */
function logTicks(domain: readonly [number, number], ticksMax: number): number[] {
  const powers: number[] = [];
  for (let power = Math.floor(Math.log10(domain[0])); power <= Math.log10(domain[1]); power++)
    powers.push(power);
  const steps = [[1, 2, 5], [1, 3], [1]].map((factors) =>
    powers
      .flatMap((power) => factors.map((factor) => factor * 10 ** power))
      .filter((tick) => tick >= domain[0] && tick <= domain[1]),
  );
  const found =
    steps.find((ticks) => ticks.length <= ticksMax) ?? expectDefined(steps.at(-1), 'the coarsest ticks');
  return found.length > 0 ? found : [Math.sqrt(domain[0] * domain[1])];
}

function recallAxis(rows: readonly ReportParetoRow[], { height }: ChartSize): Axis {
  const { domain, ticks, format } = recallAxisOf(
    rows.flatMap((row) => [row.interval, [row.recallAt10, row.recallAt10]]),
  );
  return { ...linearAxis(domain, ticks, [height - MARGIN.bottom, MARGIN.top]), format };
}

function linearAxis(
  domain: readonly [number, number],
  ticks: readonly number[],
  [from, to]: readonly [number, number],
): Axis {
  const pixel = (value: number): number =>
    from + ((value - domain[0]) / (domain[1] - domain[0])) * (to - from);
  return { type: 'linear', domain, ticks, pixel, format: formatBytes };
}

const kindOf = (row: ReportParetoRow): (typeof KINDS)[number] =>
  KINDS.find(({ kind }) => kind === row.kind) ?? KINDS[0];
const isNamed = (row: ReportParetoRow): boolean => row.chosen || row.kind === 'current';
const isProminent = (row: ReportParetoRow): boolean => row.onFrontier || isNamed(row);

/** The tooltip of a mark. */
function describe(row: ReportParetoRow): string {
  return [
    row.label,
    `recall@10 ${formatShare(row.recallAt10)} (${formatInterval(row.interval)})`,
    `${formatBytes(row.ramBytes)} RAM, ${formatBytes(row.diskBytes)} disk`,
    `latency ${formatLatency(row.latencyMs)}`,
  ].join('\n');
}

function summarize(rows: readonly ReportParetoRow[]): string {
  const chosen = rows.find((row) => row.chosen);
  const current = rows.find((row) => row.kind === 'current');
  const say = (row: ReportParetoRow): string =>
    `${row.label}, needs ${formatBytes(row.ramBytes)} of RAM at a recall of ${formatShare(row.recallAt10)}`;
  if (chosen !== undefined && current !== undefined && chosen !== current) {
    return `The chosen setting, ${say(chosen)}; the collection as it is today, ${say(current)}.`;
  }
  if (chosen !== undefined && chosen === current) {
    return `Nothing smaller was chosen; the collection as it is today, ${say(chosen)}.`;
  }
  if (chosen !== undefined) return `The chosen setting, ${say(chosen)}.`;
  if (current !== undefined) return `No setting was chosen; the collection as it is today, ${say(current)}.`;
  return `${rows.length} settings, of which ${rows.filter((row) => row.onFrontier).length} are the best for their RAM.`;
}
