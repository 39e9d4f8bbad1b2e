import { openCanvas, type ReportFigure } from './canvas.js';
import { escapeHtml } from './format.js';
import { COPY_SCRIPT } from './copy-script.js';
import { renderExampleQueries } from './example-queries.js';
import {
  renderCommands,
  renderFigure,
  renderSection,
  renderSteps,
  renderSubsection,
  renderTable,
  renderTerms,
  sentence,
} from './html.js';
import { renderMemoryBars } from './memory-bars.js';
import { createHash } from 'node:crypto';
import type { ReportInput, ReportVerdict } from './input.js';
import { paretoFigure } from './pareto-chart.js';
import { relevanceFrontFigure } from './relevance-front-chart.js';
import { perQueryFigure, recallPerDimFigure, type ColourOf } from './recall-charts.js';
import { lossFigure } from './loss-chart.js';
import { mapFigure } from './map-chart.js';
import { REPORT_STYLE } from './style.js';

export type { ReportInput, ReportParetoRow } from './input.js';

/** The browser must not load or send anything, and runs nothing but the script for the copy buttons. */
const POLICY = `default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-${createHash('sha256').update(COPY_SCRIPT).digest('base64')}'`;
const PALETTE_SIZE = 8;
const TONES = {
  good: { label: 'Recommended', icon: 'M4.5 8.2 7 10.7 11.5 5.6' },
  caution: { label: 'With caution', icon: 'M8 4.4V8.8M8 11.2V11.6' },
  bad: { label: 'Not recommended', icon: 'M5.4 5.4 10.6 10.6M10.6 5.4 5.4 10.6' },
} as const satisfies Readonly<Record<ReportVerdict['tone'], unknown>>;

/**
 * Renders the report as one HTML page that loads nothing: the verdict, what to do next, charts, example queries,
 * tables, facts about the data and the commands that reproduce every number. It has no section for an absent part
 * of `input`. All text is escaped.
 */
export async function renderReport(input: ReportInput): Promise<string> {
  const { tables = [], facts, next = [], ways, examples, reproduce } = input;
  const { first, further } = await drawFigures(input);
  const terms = facts.map(([term, value]) => ({ term, value }));
  const details = [
    ways === undefined ? '' : renderSubsection(ways.title, renderSteps(ways.ways, 'ways')),
    ...tables.map((table) => renderSubsection(table.title, renderTable(table))),
    renderSubsection('Data', renderTerms('facts', terms)),
    renderSubsection('How to get these numbers again', renderCommands(reproduce)),
  ];
  const parts = [
    renderHeader(input),
    renderSection('Do this next', renderSteps(next)),
    renderSection('What was measured', renderFigures(first)),
    examples === undefined
      ? ''
      : renderSection('Example queries, before and after', renderExampleQueries(examples)),
    renderSection('A closer look', renderFigures(further)),
    renderSection('Details', details.filter((part) => part !== '').join('\n')),
  ];
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<title>${escapeHtml(input.title)}</title>
<style>${REPORT_STYLE}</style>
</head>
<body>
<main class="page">
${parts.filter((part) => part !== '').join('\n')}
<footer><p>This page is one file. It loads nothing and sends nothing.</p></footer>
</main>
<script>${COPY_SCRIPT}</script>
</body>
</html>
`;
}

/** The charts that come first, and those that follow the example queries. */
interface Figures {
  readonly first: readonly ReportFigure[];
  readonly further: readonly ReportFigure[];
}

/** Draws every chart for which there is data. Without any, the charting library is not loaded. */
async function drawFigures(input: ReportInput): Promise<Figures> {
  const { pareto = [], relevanceFronts = [], perQuery = [], perQueryK = 10, lossCurve, map } = input;
  const recallPerDim = (input.recallPerDim ?? []).filter(({ points }) => points.length > 0);
  const hasChart = [pareto, relevanceFronts, recallPerDim, perQuery].some((part) => part.length > 0);
  if (!hasChart && lossCurve === undefined && map === undefined) return { first: [], further: [] };
  const canvas = await openCanvas();
  const colourOf = assignColours(input);
  const first = [
    pareto.length === 0 ? null : paretoFigure(canvas, pareto, input.paretoNote),
    map === undefined ? null : mapFigure(canvas, map),
    ...relevanceFronts.map((front) => relevanceFrontFigure(canvas, front)),
  ].filter((figure) => figure !== null);
  const further = [
    recallPerDim.length === 0 ? null : recallPerDimFigure(canvas, recallPerDim, colourOf),
    perQuery.length === 0 ? null : perQueryFigure(canvas, { methods: perQuery, k: perQueryK }, colourOf),
    lossCurve === undefined ? null : lossFigure(canvas, lossCurve),
  ].filter((figure) => figure !== null);
  return first.length === 0 ? { first: further, further: [] } : { first, further };
}

/** Assigns a colour to each method, the same in every chart. The first one gets the accent colour. */
function assignColours({ recallPerDim = [], perQuery = [] }: ReportInput): ColourOf {
  const names = [...new Set([...perQuery, ...recallPerDim].map(({ name }) => name))];
  return (name) => `var(--c${(Math.max(0, names.indexOf(name)) % PALETTE_SIZE) + 1})`;
}

function renderHeader(input: ReportInput): string {
  const { memory, figures = [] } = input;
  const { tone, headline, lead, details } = input.verdict;
  const { icon } = TONES[tone];
  const label = input.verdict.label ?? TONES[tone].label;
  const list = details.map((detail) => `<li>${escapeHtml(sentence(detail))}</li>`).join('');
  return `<header class="masthead">
<h1>${escapeHtml(input.title)}</h1>
<p class="muted">${escapeHtml(input.createdBy)}</p>
</header>
<section class="verdict${memory === undefined ? '' : ' with-memory'}" aria-label="Verdict">
<div class="words">
<p class="tone tone-${tone}"><svg width="20" height="20" viewBox="0 0 16 16" fill="none" stroke="currentColor" stroke-width="1.6" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true"><circle cx="8" cy="8" r="7"/><path d="${icon}"/></svg>${escapeHtml(label)}</p>
<h2 class="headline">${escapeHtml(headline)}</h2>
${lead === undefined ? '' : `<p class="lead">${escapeHtml(lead)}</p>`}
</div>
${memory === undefined ? '' : renderMemoryBars(memory)}
${list === '' ? '' : `<ul class="details">${list}</ul>`}
${renderTerms('figures', figures)}
</section>`;
}

/** Charts in two columns on wide screens. A chart without a neighbour gets its text to its right. */
function renderFigures(figures: readonly ReportFigure[]): string {
  if (figures.length === 0) return '';
  const halves = figures.filter(({ spans }) => !spans);
  const lonely = halves.length % 2 === 1 ? halves.at(-1) : undefined;
  const rendered = figures.map((figure) => renderFigure(figure, figure === lonely));
  return `<div class="charts">\n${rendered.join('\n')}\n</div>`;
}
