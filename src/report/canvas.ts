import type * as Plot from '@observablehq/plot';
import { expectDefined } from '../core/errors.js';
import { escapeHtml } from './format.js';

/** Width and height of a chart in CSS pixels; `narrow` is the version for phones. */
export interface ChartSize {
  readonly width: number;
  readonly height: number;
  readonly narrow: boolean;
}

/** An entry of a legend: a shape in a colour of the page's palette. */
export interface LegendItem {
  readonly label: string;
  /** A CSS colour, such as var(--c1). */
  readonly colour: string;
  readonly shape: 'disc' | 'circle' | 'square' | 'diamond' | 'triangle' | 'star' | 'bar' | 'swatch' | 'line';
}

/** A chart of the report: SVG for each width of screen, with a summary in one sentence. */
export interface ReportFigure {
  readonly title: string;
  readonly summary: string;
  /** How to read the marks. */
  readonly hint: string;
  readonly legend: readonly LegendItem[];
  /** For phones. A chart without text is drawn once for all widths, in `views`. */
  readonly narrow?: string;
  /** For screens between phones and wide ones; if absent, `narrow` is shown there. */
  readonly medium?: string;
  readonly wide?: string;
  /** Drawings side by side, each with a name. */
  readonly views?: readonly { readonly name: string; readonly svg: string }[];
  /** Takes the whole width of the page. */
  readonly spans: boolean;
}

/** The charting library, and a function that draws a plot as SVG text. */
export interface Canvas {
  readonly plot: typeof Plot;
  /** Returns a plot as SVG text; `label` is the text for screen readers. */
  readonly draw: (size: ChartSize, label: string, options: Plot.PlotOptions) => string;
}

/** The part of a DOM node that the serialiser reads. */
interface DomNode {
  readonly nodeType: number;
  readonly localName: string;
  readonly textContent: string | null;
  readonly attributes: Iterable<{ readonly name: string; readonly value: string }>;
  readonly childNodes: Iterable<DomNode>;
}

const ELEMENT_NODE = 1;
const TEXT_NODE = 3;
/** Possible distances between ticks of a recall axis, and the largest number of intervals. */
const RECALL_STEPS = [0.005, 0.01, 0.02, 0.05, 0.1, 0.2];
const RECALL_INTERVALS_MAX = 6;
const GEOMETRY = new Set([
  'x',
  'y',
  'x1',
  'x2',
  'y1',
  'y2',
  'cx',
  'cy',
  'r',
  'd',
  'width',
  'height',
  'transform',
]);

/** Loads the charting library and a DOM. They are loaded only here, because only reports need them. */
export async function openCanvas(): Promise<Canvas> {
  const [plot, linkedom] = await Promise.all([import('@observablehq/plot'), import('linkedom')]);
  const parseHtml = linkedom.parseHTML as unknown as (html: string) => { readonly document: unknown };
  const { document } = parseHtml('<!doctype html><html><body></body></html>');
  return {
    plot,
    draw: ({ width, height }, label, options) => {
      const root = plot.plot({
        ...options,
        document,
        width,
        height,
      }) as unknown as DomNode;
      const content = [...root.childNodes].map(serializeNode).join('');
      const box = `viewBox="0 0 ${width} ${height}" width="${width}" height="${height}"`;
      return `<svg class="plot" role="img" aria-label="${escapeHtml(label)}" ${box} text-anchor="middle" fill="currentColor">${content}</svg>`;
    },
  };
}

/** A DOM node as SVG text. The chart's own style sheet is dropped, since the page's covers all charts. */
function serializeNode(node: DomNode): string {
  if (node.nodeType === TEXT_NODE)
    return escapeHtml(expectDefined(node.textContent, 'the text of a text node'));
  if (node.nodeType !== ELEMENT_NODE || node.localName === 'style') return '';
  const attributes = [...node.attributes]
    .filter(({ name }) => !name.startsWith('aria-'))
    .map(({ name, value }) => ` ${name}="${escapeHtml(GEOMETRY.has(name) ? shorten(value) : value)}"`);
  const content = [...node.childNodes].map(serializeNode).join('');
  return `<${node.localName}${attributes.join('')}>${content}</${node.localName}>`;
}

/** Rounds to two decimals (a hundredth of a pixel), which makes the file a third as large. */
function shorten(geometry: string): string {
  return geometry.replace(/-?\d*\.\d{3,}(?:e-?\d+)?/g, (value) => String(Number(Number(value).toFixed(2))));
}

/** The pixel of a value on a linear axis: where it lies between the pixels of the domain's ends. */
export function pixelOnAxis(
  [low, high]: readonly [number, number],
  value: number,
  [from, to]: readonly [number, number],
): number {
  return from + ((value - low) / (high - low)) * (to - from);
}

/** The range of a recall axis within [0, 1], with round ticks. */
export interface RecallAxis {
  readonly domain: [number, number];
  readonly ticks: number[];
  readonly format: (recall: number) => string;
}

/** The smallest axis that covers all intervals and begins and ends on a round tick. */
export function recallAxisOf(intervals: readonly (readonly [number, number])[]): RecallAxis {
  const values = intervals.flat().filter((value) => Number.isFinite(value));
  const low = Math.max(0, Math.min(1, ...values));
  const high = Math.min(1, Math.max(low, ...values));
  const step = expectDefined(
    RECALL_STEPS.find((one) => (high - low) / one <= RECALL_INTERVALS_MAX),
    'a step for the recall axis',
  );
  // 1e-6 tolerates rounding errors in a value that is itself a tick.
  const first = Math.max(0, Math.floor(low / step + 1e-6));
  const last = Math.min(Math.round(1 / step), Math.max(first + 1, Math.ceil(high / step - 1e-6)));
  const from = Math.min(first, last - 1);
  const ticks = Array.from({ length: last - from + 1 }, (_, i) => Number(((from + i) * step).toFixed(3)));
  const digits = step < 0.01 ? 3 : step < 0.1 ? 2 : 1;
  return {
    domain: [expectDefined(ticks[0], 'the first tick'), expectDefined(ticks.at(-1), 'the last tick')],
    ticks,
    format: (recall) => recall.toFixed(digits),
  };
}
