import { escapeHtml, formatNumber } from './format.js';
import type { ExampleQueries, ExampleQuery, ExampleResult } from './input.js';

/** Queries whose results are shown without a click. */
const OPEN = 2;
/** Characters of a text that are shown. */
const TEXT_MAX = 160;

/** Example queries with the results of both sides beside each other; the reader opens all but the first. */
export function renderExampleQueries({ queries, note }: ExampleQueries): string {
  if (queries.length === 0) return '';
  const items = queries.map((query, i) => renderQuery(query, i < OPEN));
  return `<p class="note before">${escapeHtml(note)}</p>\n<div class="examples">\n${items.join('\n')}\n</div>`;
}

function renderQuery({ text, full, compact }: ExampleQuery, isOpen: boolean): string {
  const same = full.filter(({ onBothSides }) => onBothSides).length;
  const found = `${formatNumber(same)} of ${formatNumber(full.length)} found`;
  const tone = same === full.length ? 'all' : 'some';
  return `<details${isOpen ? ' open' : ''}>
<summary><span class="query">${escapeHtml(shorten(text))}</span> <span class="found ${tone}">${found}</span></summary>
<div class="sides">
${renderSide('Full vectors', full, 'not found')}
${renderSide('Compact collection', compact, 'only here')}
</div>
</details>`;
}

function renderSide(title: string, results: readonly ExampleResult[], otherwise: string): string {
  const items = results.map(({ text, onBothSides }) => {
    const tag = onBothSides ? '' : ` <span class="tag">${escapeHtml(otherwise)}</span>`;
    return `<li${onBothSides ? '' : ' class="one-sided"'}>${escapeHtml(shorten(text))}${tag}</li>`;
  });
  return `<div><h3>${escapeHtml(title)}</h3>\n<ol>${items.join('\n')}</ol></div>`;
}

/** The text on one line, cut at a blank if it is long. */
function shorten(text: string): string {
  // A character that a reader sees has rarely more than four code units.
  const line = text
    .slice(0, 8 * TEXT_MAX)
    .replace(/\s+/g, ' ')
    .trim();
  const characters = Array.from(new Intl.Segmenter('en').segment(line), ({ segment }) => segment);
  if (characters.length <= TEXT_MAX) return line;
  const cut = characters.slice(0, TEXT_MAX).join('');
  const blank = cut.lastIndexOf(' ');
  return `${blank > TEXT_MAX / 2 ? cut.slice(0, blank) : cut} …`;
}
