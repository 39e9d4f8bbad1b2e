import type { Markish } from '@observablehq/plot';
import { expectDefined } from '../core/errors.js';
import { pixelOnAxis, type Canvas, type ChartSize, type LegendItem, type ReportFigure } from './canvas.js';
import { formatBytes, formatInterval, formatLatency, formatNumber, formatShare } from './format.js';
import type { ReportParetoRow } from './input.js';
import { logRecallAxis, type LogRecallAxis } from './log-recall-axis.js';
import { alongLine, placeLabels, type LabelWish, type PlacedLabel } from './place-labels.js';

const WIDE: ChartSize = { width: 1014, height: 460, narrow: false };
const MEDIUM: ChartSize = { width: 640, height: 420, narrow: false };
const NARROW: ChartSize = { width: 310, height: 340, narrow: true };
const MARGIN = { left: 52, right: 16, top: 30, bottom: 44 };

const WIDE_TICKS_MAX = 12;
const MEDIUM_TICKS_MAX = 8;
const NARROW_TICKS_MAX = 5;
const PALETTE_SIZE = 8;
const CHOSEN_COLOUR = 'var(--chosen)';

/** What a row is decides its shape, how its vectors are stored decides its colour. */
const KINDS = [
  { kind: 'compact', label: 'compact vectors', shape: 'disc', symbol: 'circle' },
  { kind: 'full', label: 'full vectors', shape: 'square', symbol: 'square' },
  { kind: 'current', label: 'as it is today', shape: 'diamond', symbol: 'diamond' },
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

/** The recall axis, with the pixel of a recall. */
type RecallScale = LogRecallAxis & { readonly pixel: (recall: number) => number };

/** What all drawings of the chart share. */
interface ParetoChart {
  readonly rows: readonly ReportParetoRow[];
  readonly colourOf: (row: ReportParetoRow) => string;
  readonly summary: string;
}

/** The chart of recall against bytes of RAM, with a mark for each configuration. */
export function paretoFigure(canvas: Canvas, rows: readonly ReportParetoRow[], note?: string): ReportFigure {
  const summary = summarize(rows);
  const stored = storagesWithColour(rows);
  const colourOf = (row: ReportParetoRow): string =>
    row.kind === 'current' ? 'var(--ink)' : colourNamed(stored, row.datatype);
  const chart = { rows, colourOf, summary };
  return {
    title: 'Recall and memory',
    summary,
    hint: `Higher is better, and further left needs less RAM. The scale of recall is stretched towards the top, where settings differ by little. Vertical bars are 95 % intervals over queries.${note === undefined ? '' : ` ${note}`}`,
    legend: legendOf(rows, stored),
    narrow: drawPareto(canvas, chart, NARROW),
    medium: drawPareto(canvas, chart, MEDIUM),
    wide: drawPareto(canvas, chart, WIDE),
    spans: true,
  };
}

/** The kinds of storage with a colour of their own: at most as many as there are colours, those of the best rows first. */
function storagesWithColour(rows: readonly ReportParetoRow[]): string[] {
  const measured = rows.filter(({ kind }) => kind !== 'current');
  const best = [...measured].sort((a, b) => Number(isProminent(b)) - Number(isProminent(a)));
  return [...new Set(best.map(({ datatype }) => datatype))].slice(0, PALETTE_SIZE).sort();
}

function colourNamed(stored: readonly string[], datatype: string): string {
  const index = stored.indexOf(datatype);
  return index < 0 ? 'var(--other)' : `var(--c${index + 1})`;
}

function legendOf(rows: readonly ReportParetoRow[], stored: readonly string[]): LegendItem[] {
  const legend: LegendItem[] = [];
  if (rows.some((row) => row.chosen)) legend.push({ label: 'chosen', colour: CHOSEN_COLOUR, shape: 'star' });
  for (const datatype of stored)
    legend.push({ label: `stored as ${datatype}`, colour: colourNamed(stored, datatype), shape: 'swatch' });
  if (rows.some(({ kind, datatype }) => kind !== 'current' && !stored.includes(datatype)))
    legend.push({ label: 'stored otherwise', colour: 'var(--other)', shape: 'swatch' });
  for (const { kind, label, shape } of KINDS)
    if (rows.some((row) => row.kind === kind))
      legend.push({ label, colour: kind === 'current' ? 'var(--ink)' : 'var(--muted)', shape });
  if (rows.filter((row) => row.onFrontier).length > 1)
    legend.push({ label: 'best recall for its RAM', colour: 'var(--accent)', shape: 'line' });
  return legend;
}

function drawPareto(canvas: Canvas, chart: ParetoChart, size: ChartSize): string {
  const { rows, summary } = chart;
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
    y: { type: 'linear', domain: [...y.domain], label: null },
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
      ...dataMarks(canvas, chart, { x, y }),
      ...labelMarks(canvas, y, labelsFor(rows, { x, y, size })),
    ],
  });
}

/** The marks: the frontier's line, each row's interval and symbol, and on top of all the chosen row. */
function dataMarks(
  { plot }: Canvas,
  { rows, colourOf }: ParetoChart,
  { x, y }: { readonly x: Axis; readonly y: RecallScale },
): Markish[] {
  const at = { x: 'ramBytes', y: (row: ReportParetoRow) => y.height(row.recallAt10) } as const;
  const frontier = rows.filter((row) => row.onFrontier).sort((a, b) => a.ramBytes - b.ramBytes);
  const chosen = rows.filter((row) => row.chosen);
  const guide = { stroke: CHOSEN_COLOUR, strokeDasharray: '3 4', strokeWidth: 1.25 } as const;
  return [
    plot.line(frontier, { ...at, stroke: 'var(--accent)', strokeOpacity: 0.5, strokeWidth: 1.5 }),
    plot.ruleX(rows, {
      x: 'ramBytes',
      y1: (row: ReportParetoRow) => y.height(row.interval[0]),
      y2: (row: ReportParetoRow) => y.height(row.interval[1]),
      stroke: colourOf,
      strokeOpacity: (row: ReportParetoRow) => (isProminent(row) ? 0.8 : 0.3),
    }),
    plot.dot(rows, {
      ...at,
      r: (row: ReportParetoRow) => (row.kind === 'current' ? 5.5 : 4.5),
      symbol: (row: ReportParetoRow) => kindOf(row).symbol,
      fill: colourOf,
      fillOpacity: (row: ReportParetoRow) => (isProminent(row) ? 1 : 0.5),
      stroke: 'var(--surface)',
      title: describe,
    }),
    // Lines from the chosen row to both axes.
    plot.ruleX(chosen, { x: 'ramBytes', y1: y.domain[0], y2: at.y, ...guide }),
    plot.ruleY(chosen, { y: at.y, x1: x.domain[0], x2: 'ramBytes', ...guide }),
    plot.dot(chosen, { ...at, r: 13, fill: 'var(--surface)', stroke: CHOSEN_COLOUR, strokeWidth: 2 }),
    plot.dot(chosen, { ...at, r: 7, symbol: 'star', fill: CHOSEN_COLOUR, title: describe }),
  ];
}

function labelMarks({ plot }: Canvas, y: RecallScale, labels: readonly RowLabel[]): Markish[] {
  return labels.map(({ row, dx, dy, text, anchor }) =>
    plot.text([row], {
      x: 'ramBytes',
      y: () => y.height(row.recallAt10),
      text: () => text,
      dx,
      dy,
      textAnchor: anchor,
      fontWeight: isNamed(row) ? 650 : 400,
      fill: isNamed(row) ? 'var(--ink)' : 'var(--muted)',
      stroke: 'var(--surface)',
      strokeWidth: 4,
    }),
  );
}

/** Labels of the chosen and the current row. In wider charts, other rows of the frontier get theirs too. */
function labelsFor(
  rows: readonly ReportParetoRow[],
  { x, y, size }: { x: Axis; y: RecallScale; size: ChartSize },
): RowLabel[] {
  const named = rows.filter(isNamed).sort((a, b) => Number(b.chosen) - Number(a.chosen));
  const others = size.narrow ? [] : rows.filter((row) => row.onFrontier && !isNamed(row));
  const wished = [...named, ...others];
  const wishes = wished.map((row): LabelWish => {
    return {
      x: x.pixel(row.ramBytes),
      y: y.pixel(row.recallAt10),
      texts: textsOf(row),
      ...(row.chosen ? { distance: 8, isRequired: true } : {}),
    };
  });
  const frame = {
    left: MARGIN.left,
    right: size.width - MARGIN.right,
    top: MARGIN.top - 12,
    bottom: size.height - MARGIN.bottom,
  };
  const place = (row: ReportParetoRow): readonly [number, number] => [
    x.pixel(row.ramBytes),
    y.pixel(row.recallAt10),
  ];
  const frontier = rows
    .filter((row) => row.onFrontier)
    .map(place)
    .sort((a, b) => a[0] - b[0]);
  const whiskers = rows.filter(isProminent).flatMap((row) => {
    const at = x.pixel(row.ramBytes);
    return alongLine(row.interval.map((recall) => [at, y.pixel(recall)] as const));
  });
  const guides = rows
    .filter(({ chosen }) => chosen)
    .flatMap((row) => {
      const [across, down] = place(row);
      return alongLine([
        [frame.left, down],
        [across, down],
        [across, frame.bottom],
      ]);
    });
  const obstacles = [...rows.map(place), ...alongLine(frontier), ...whiskers, ...guides];
  return placeLabels(wishes, frame, obstacles).flatMap((label) => {
    const row = wished[label.wish];
    return row === undefined ? [] : [{ ...label, row }];
  });
}

/** Possible labels of a row, the longest first: what it is, how it is stored, its RAM. */
function textsOf(row: ReportParetoRow): string[] {
  const ram = formatBytes(row.ramBytes);
  const role = [row.chosen ? 'chosen' : '', row.kind === 'current' ? 'today' : ''].filter(Boolean).join(', ');
  if (role !== '') return [`${role}: ${row.label}, ${ram}`, `${role}: ${row.label}`, `${role}, ${ram}`, role];
  const rescored = row.oversampling > 1 ? `, ${formatNumber(row.oversampling)}x` : '';
  const stored = `${formatNumber(row.dim)}-d ${row.datatype}`;
  return [`${stored}${rescored}, ${ram}`, `${stored}${rescored}`, stored, `${formatNumber(row.dim)}-d`];
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
  const ticksMax = narrow ? NARROW_TICKS_MAX : width < WIDE.width ? MEDIUM_TICKS_MAX : WIDE_TICKS_MAX;
  const ticks = logTicks(domain, ticksMax);
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

function recallAxis(rows: readonly ReportParetoRow[], { height }: ChartSize): RecallScale {
  const pixels = [height - MARGIN.bottom, MARGIN.top] as const;
  const axis = logRecallAxis(
    rows.map((row) => row.recallAt10),
    rows.map((row) => row.interval),
    pixels[0] - pixels[1],
  );
  return { ...axis, pixel: (recall) => pixelOnAxis(axis.domain, axis.height(recall), pixels) };
}

function linearAxis(
  domain: readonly [number, number],
  ticks: readonly number[],
  pixels: readonly [number, number],
): Axis {
  const pixel = (value: number): number => pixelOnAxis(domain, value, pixels);
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
