import type * as Plot from '@observablehq/plot';
import { escapeHtml } from './report-format.js';

/** Width and height in CSS pixels at which a chart is composed; `narrow` is for a phone. */
export interface ChartSize {
  readonly width: number;
  readonly height: number;
  readonly narrow: boolean;
}

/** One entry of a legend: a shape in a colour of the page's palette. */
export interface LegendItem {
  readonly label: string;
  /** A CSS colour, such as var(--c1). */
  readonly colour: string;
  readonly shape: 'disc' | 'circle' | 'square' | 'diamond' | 'triangle' | 'bar' | 'line';
}

/** A chart of the report, drawn for a phone and for a desk, with what it shows in one sentence. */
export interface ReportFigure {
  readonly title: string;
  readonly summary: string;
  /** How to read the marks. */
  readonly hint: string;
  readonly legend: readonly LegendItem[];
  readonly narrow: string;
  readonly wide: string;
  /** Takes the whole width of the page. */
  readonly spans: boolean;
}

/** Where charts are drawn: the marks to draw with, and the way from a plot to SVG text. */
export interface Canvas {
  readonly plot: typeof Plot;
  /** SVG text of a plot; `label` is what a screen reader says. */
  readonly draw: (size: ChartSize, label: string, options: Plot.PlotOptions) => string;
}

/** What the serialiser needs of a DOM node. */
interface DomNode {
  readonly nodeType: number;
  readonly localName: string;
  readonly textContent: string | null;
  readonly attributes: Iterable<{ readonly name: string; readonly value: string }>;
  readonly childNodes: Iterable<DomNode>;
}

const ELEMENT_NODE = 1;
const TEXT_NODE = 3;
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

/** Loads the charting library and a document to draw on; only a report pays for them. */
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

/** The chart's own style sheet stays out: the page's serves all charts. */
function serializeNode(node: DomNode): string {
  if (node.nodeType === TEXT_NODE) return escapeHtml(node.textContent ?? '');
  if (node.nodeType !== ELEMENT_NODE || node.localName === 'style') return '';
  const attributes = [...node.attributes]
    .filter(({ name }) => !name.startsWith('aria-'))
    .map(({ name, value }) => ` ${name}="${escapeHtml(GEOMETRY.has(name) ? shorten(value) : value)}"`);
  const content = [...node.childNodes].map(serializeNode).join('');
  return `<${node.localName}${attributes.join('')}>${content}</${node.localName}>`;
}

/** Two decimals are a hundredth of a pixel, and a third of the file. */
function shorten(geometry: string): string {
  return geometry.replace(/-?\d*\.\d{3,}(?:e-?\d+)?/g, (value) => String(Number(Number(value).toFixed(2))));
}

/** The part of [0, 1] that holds all intervals, in steps of 0.05 or 0.1, for an axis of recall. */
export function recallDomain(intervals: readonly (readonly [number, number])[]): [number, number] {
  const values = intervals.flat().filter((value) => Number.isFinite(value));
  const low = Math.max(0, Math.min(1, ...values));
  const high = Math.min(1, Math.max(0, ...values));
  const step = high - low > 0.3 ? 0.1 : high - low > 0.06 ? 0.05 : 0.02;
  const floor = Math.max(0, Math.floor(low / step + 1e-9) * step);
  return [floor, Math.min(1, Math.max(Math.ceil(high / step - 1e-9) * step, floor + step))];
}
