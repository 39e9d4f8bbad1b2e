import { openCanvas, type ReportFigure } from './canvas.js';
import { escapeHtml } from './format.js';
import { renderFigure, renderSection, renderTable, renderTerms } from './html.js';
import type { ReportInput, ReportVerdict } from './input.js';
import { paretoFigure } from './pareto-chart.js';
import { relevanceFrontFigure } from './relevance-front-chart.js';
import { perQueryFigure, recallPerDimFigure, type ColourOf } from './recall-charts.js';
import { lossFigure, mapFigure } from './loss-and-map-charts.js';
import { REPORT_STYLE } from './style.js';

export type { ReportInput, ReportParetoRow } from './input.js';

/** The browser must not load, run or send anything: the page has its own text and styles only. */
const POLICY = "default-src 'none'; style-src 'unsafe-inline'";
const PALETTE_SIZE = 8;
const TONES = {
  good: { label: 'Recommended', icon: 'M4.5 8.2 7 10.7 11.5 5.6' },
  caution: { label: 'With caution', icon: 'M8 4.4V8.8M8 11.2V11.6' },
  bad: { label: 'Not recommended', icon: 'M5.4 5.4 10.6 10.6M10.6 5.4 5.4 10.6' },
} as const satisfies Readonly<Record<ReportVerdict['tone'], unknown>>;

/**
 * Renders the report as one HTML page that loads nothing and runs nothing: the verdict, charts, tables, facts
 * about the data and the commands that reproduce every number. It has no section for an absent part of
 * `input`. All text is escaped.
 */
export async function renderReport(input: ReportInput): Promise<string> {
  const figures = await drawFigures(input);
  const parts = [
    renderHeader(input),
    renderSection('What was measured', renderFigures(figures)),
    ...(input.tables ?? []).map((table) => renderSection(table.title, renderTable(table))),
    renderSection(
      'Data',
      renderTerms(
        'facts',
        input.facts.map(([term, value]) => ({ term, value })),
      ),
    ),
    renderSection('How to get these numbers again', renderCommands(input.reproduce)),
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
</body>
</html>
`;
}

/** Draws every chart for which there is data. Without any, the charting library is not loaded. */
async function drawFigures(input: ReportInput): Promise<ReportFigure[]> {
  const { pareto = [], relevanceFronts = [], perQuery = [], perQueryK = 10, lossCurve, map } = input;
  const recallPerDim = (input.recallPerDim ?? []).filter(({ points }) => points.length > 0);
  const hasChart = [pareto, relevanceFronts, recallPerDim, perQuery].some((part) => part.length > 0);
  if (!hasChart && lossCurve === undefined && map === undefined) return [];
  const canvas = await openCanvas();
  const colourOf = assignColours(input);
  return [
    pareto.length === 0 ? null : paretoFigure(canvas, pareto),
    ...relevanceFronts.map((front) => relevanceFrontFigure(canvas, front)),
    recallPerDim.length === 0 ? null : recallPerDimFigure(canvas, recallPerDim, colourOf),
    perQuery.length === 0 ? null : perQueryFigure(canvas, { methods: perQuery, k: perQueryK }, colourOf),
    lossCurve === undefined ? null : lossFigure(canvas, lossCurve),
    map === undefined ? null : mapFigure(canvas, map),
  ].filter((figure) => figure !== null);
}

/** Assigns a colour to each method, the same in every chart. The first one gets the accent colour. */
function assignColours({ recallPerDim = [], perQuery = [] }: ReportInput): ColourOf {
  const names = [...new Set([...perQuery, ...recallPerDim].map(({ name }) => name))];
  return (name) => `var(--c${(Math.max(0, names.indexOf(name)) % PALETTE_SIZE) + 1})`;
}

function renderHeader(input: ReportInput): string {
  const { tone, headline, details } = input.verdict;
  const { icon } = TONES[tone];
  const label = input.verdict.label ?? TONES[tone].label;
  const list = details.map((detail) => `<li>${escapeHtml(detail)}</li>`).join('');
  return `<header class="masthead">
<h1>${escapeHtml(input.title)}</h1>
<p class="muted">${escapeHtml(input.createdBy)}</p>
</header>
<section class="verdict" aria-label="Verdict">
<p class="tone tone-${tone}"><svg width="20" height="20" viewBox="0 0 16 16" fill="none" stroke="currentColor" stroke-width="1.6" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true"><circle cx="8" cy="8" r="7"/><path d="${icon}"/></svg>${escapeHtml(label)}</p>
<h2 class="headline">${escapeHtml(headline)}</h2>
${list === '' ? '' : `<ul class="details">${list}</ul>`}
${renderTerms('figures', input.figures ?? [])}
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

function renderCommands(commands: readonly string[]): string {
  if (commands.length === 0) return '';
  const lines = commands.map((command) => `<code>${escapeHtml(command)}</code>`).join('\n');
  return `<div class="commands">\n${lines}\n</div>`;
}
