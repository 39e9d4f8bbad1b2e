import type { Markish } from '@observablehq/plot';
import {
  pixelOnAxis,
  recallAxisOf,
  type Canvas,
  type ChartSize,
  type LegendItem,
  type RecallAxis,
  type ReportFigure,
} from './canvas.js';
import { formatShare } from './format.js';
import type { RelevanceFront } from './input.js';
import { alongLine, placeLabels, type LabelWish } from './place-labels.js';

const WIDE: ChartSize = { width: 1014, height: 380, narrow: false };
const NARROW: ChartSize = { width: 310, height: 300, narrow: true };
const MARGIN = { left: 46, right: 16, top: 30, bottom: 44 };
const AT = { x: 'recallAt10', y: 'value' } as const;

type FrontPoint = RelevanceFront['points'][number];

/** The chart of recall@10 against labels or judgements, with a mark for each candidate and for the full vectors. */
export function relevanceFrontFigure(canvas: Canvas, front: RelevanceFront): ReportFigure {
  const summary = summarize(front);
  const { points } = front;
  const legend: LegendItem[] = [
    { label: 'compact vectors', colour: 'var(--accent)', shape: 'disc' },
    { label: 'full vectors', colour: 'var(--muted)', shape: 'square' },
  ];
  if (points.filter(({ onFront }) => onFront).length > 1)
    legend.push({ label: 'front', colour: 'var(--accent)', shape: 'line' });
  if (points.some(({ chosen }) => chosen))
    legend.push({ label: 'saved', colour: 'var(--ink)', shape: 'circle' });
  return {
    title: `Fidelity and relevance by ${front.name}`,
    summary,
    hint: `Further right, more of the true ten nearest are found; further up is better by ${front.measure}. No candidate is better in both than one on the front.`,
    legend,
    narrow: drawFront(canvas, front, { size: NARROW, summary }),
    wide: drawFront(canvas, front, { size: WIDE, summary }),
    spans: true,
  };
}

function drawFront(
  canvas: Canvas,
  front: RelevanceFront,
  { size, summary }: { size: ChartSize; summary: string },
): string {
  const { points, fullVectors, measure } = front;
  const x = recallAxisOf([...points.map(({ recallAt10 }) => [recallAt10, recallAt10] as const), [1, 1]]);
  const y = recallAxisOf([...points, { value: fullVectors }].map(({ value }) => [value, value] as const));
  const { plot } = canvas;
  return canvas.draw(size, summary, {
    marginLeft: MARGIN.left,
    marginRight: MARGIN.right,
    marginTop: MARGIN.top,
    marginBottom: MARGIN.bottom,
    x: { domain: x.domain, label: null },
    y: { domain: y.domain, label: null },
    r: { type: 'identity' },
    marks: [
      plot.gridY(y.ticks, { stroke: 'var(--line)', strokeOpacity: 1 }),
      plot.axisY(y.ticks, {
        color: 'var(--muted)',
        label: measure,
        labelArrow: 'none',
        tickSize: 0,
        text: y.format,
      }),
      plot.axisX(x.ticks, { color: 'var(--muted)', label: 'recall@10', labelArrow: 'none', text: x.format }),
      ...marksOf(canvas, front),
      ...labelsOf(canvas, front, { x, y, size }),
    ],
  });
}

/** A dashed line at the height of the full vectors, the front as a line, a mark for each point. */
function marksOf({ plot }: Canvas, { points, fullVectors }: RelevanceFront): Markish[] {
  const front = points.filter(({ onFront }) => onFront).sort((a, b) => a.recallAt10 - b.recallAt10);
  const title = ({ name, recallAt10, value }: FrontPoint): string =>
    `${name}\nrecall@10 ${formatShare(recallAt10)}\n${value.toFixed(3)}`;
  return [
    plot.ruleY([fullVectors], { stroke: 'var(--muted)', strokeDasharray: '4 4' }),
    plot.line(front, { ...AT, stroke: 'var(--accent)', strokeOpacity: 0.5, strokeWidth: 1.5 }),
    plot.dot([fullPoint(fullVectors)], {
      ...AT,
      r: 5,
      symbol: 'square',
      fill: 'var(--muted)',
      stroke: 'var(--surface)',
      title,
    }),
    plot.dot(points, {
      ...AT,
      r: 4.5,
      fill: 'var(--accent)',
      fillOpacity: ({ onFront, chosen }: FrontPoint) => (onFront || chosen ? 1 : 0.45),
      stroke: 'var(--surface)',
      title,
    }),
    plot.dot(
      points.filter(({ chosen }) => chosen),
      { ...AT, r: 9, stroke: 'var(--ink)', strokeWidth: 2, title },
    ),
  ];
}

function fullPoint(value: number): FrontPoint {
  return { name: 'full vectors', recallAt10: 1, value, onFront: false, chosen: false };
}

/** Names of the saved candidate, the full vectors and the candidates on the front, where there is room. */
function labelsOf(
  { plot }: Canvas,
  { points, fullVectors }: RelevanceFront,
  { x, y, size }: { x: RecallAxis; y: RecallAxis; size: ChartSize },
): Markish[] {
  const frame = {
    left: MARGIN.left,
    right: size.width - MARGIN.right,
    top: MARGIN.top - 12,
    bottom: size.height - MARGIN.bottom,
  };
  const place = ({ recallAt10, value }: FrontPoint): readonly [number, number] => [
    pixelOnAxis(x.domain, recallAt10, [frame.left, frame.right]),
    pixelOnAxis(y.domain, value, [frame.bottom, MARGIN.top]),
  ];
  const named = [
    ...points.filter(({ chosen }) => chosen),
    fullPoint(fullVectors),
    ...points.filter(({ onFront, chosen }) => onFront && !chosen),
  ];
  const wishes = named.map((point): LabelWish => {
    const [left, top] = place(point);
    const at = { x: left, y: top };
    if (!point.chosen) return { ...at, texts: [point.name] };
    return { ...at, texts: [`saved: ${point.name}`, 'saved'], isRequired: true };
  });
  const corners = points
    .filter(({ onFront }) => onFront)
    .map(place)
    .sort((a, b) => a[0] - b[0]);
  const obstacles = [...points.map(place), place(fullPoint(fullVectors)), ...alongLine(corners)];
  return placeLabels(wishes, frame, obstacles).flatMap(({ wish, text, dx, dy, anchor }) => {
    const point = named[wish];
    if (point === undefined) return [];
    const fill = point.chosen ? 'var(--ink)' : 'var(--muted)';
    return [
      plot.text([point], {
        ...AT,
        text: () => text,
        dx,
        dy,
        textAnchor: anchor,
        fontWeight: point.chosen ? 600 : 400,
        fill,
        stroke: 'var(--surface)',
        strokeWidth: 4,
      }),
    ];
  });
}

function summarize({ name, measure, fullVectors, points }: RelevanceFront): string {
  const count = points.filter(({ onFront }) => onFront).length;
  const best = points.reduce<FrontPoint | undefined>(
    (kept, one) => (kept === undefined || one.value > kept.value ? one : kept),
    undefined,
  );
  const chosen = points.find((one) => one.chosen);
  const say = (one: FrontPoint): string =>
    `${one.name} with ${one.value.toFixed(3)} at a recall@10 of ${formatShare(one.recallAt10)}`;
  return [
    `${count} of ${points.length} candidates are on the front`,
    ...(best === undefined ? [] : [`best by ${name} (${measure}): ${say(best)}`]),
    ...(chosen === undefined || chosen === best ? [] : [`saved: ${say(chosen)}`]),
    `the full vectors have ${fullVectors.toFixed(3)}.`,
  ].join('; ');
}
