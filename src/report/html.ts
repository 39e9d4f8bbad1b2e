import { expectDefined } from '../core/errors.js';
import type { LegendItem, ReportFigure } from './canvas.js';
import { escapeHtml, formatNumber } from './format.js';
import { cellTexts, type ResultTable } from './result-table.js';

/** A column of words wraps if it has longer text than this. */
const WRAP_LENGTH = 32;
const SHAPES: Readonly<Record<LegendItem['shape'], string>> = {
  disc: '<circle cx="7" cy="7" r="4.5" fill="currentColor"/>',
  circle: '<circle cx="7" cy="7" r="5" fill="none" stroke="currentColor" stroke-width="2"/>',
  square: '<rect x="3" y="3" width="8" height="8" fill="currentColor"/>',
  diamond: '<path d="M7 1.5 11.5 7 7 12.5 2.5 7Z" fill="currentColor"/>',
  triangle: '<path d="M7 2 12 11.5H2Z" fill="currentColor"/>',
  star: '<path d="M7 .6 8.6 5.2 13.4 5.2 9.5 8.2 10.9 12.9 7 10.1 3.1 12.9 4.5 8.2.6 5.2 5.4 5.2Z" fill="currentColor"/>',
  bar: '<rect x="2" y="2" width="10" height="10" rx="2" fill="currentColor"/>',
  line: '<path d="M0 7H14" stroke="currentColor" stroke-width="2.5"/>',
};

/** A section with a heading; '' if `content` is empty. */
export function renderSection(title: string, content: string): string {
  return content === '' ? '' : `<section>\n<h2>${escapeHtml(title)}</h2>\n${content}\n</section>`;
}

/** A chart with its heading, legend and summary. `alone` puts the text to the right of the chart. */
export function renderFigure(figure: ReportFigure, alone: boolean): string {
  const layout = figure.spans ? ' spans' : alone ? ' alone' : '';
  const legend = figure.legend.map(
    ({ label, colour, shape }) =>
      `<li><svg width="14" height="14" viewBox="0 0 14 14" aria-hidden="true" style="color: ${escapeHtml(colour)}">${SHAPES[shape]}</svg><span title="${escapeHtml(label)}">${escapeHtml(label)}</span></li>`,
  );
  const medium = figure.medium === undefined ? '' : `<div class="medium">${figure.medium}</div>\n`;
  return `<figure class="chart${layout}${figure.medium === undefined ? '' : ' three-widths'}">
<h3>${escapeHtml(figure.title)}</h3>
<ul class="legend">${legend.join('')}</ul>
<div class="narrow">${figure.narrow}</div>
${medium}<div class="wide">${figure.wide}</div>
<figcaption><p>${escapeHtml(figure.summary)}</p><p class="muted">${escapeHtml(figure.hint)}</p></figcaption>
</figure>`;
}

/** A table with its notes; folded rows are in a part that the reader opens. */
export function renderTable(table: ResultTable): string {
  const { title, note, legend } = table;
  const shown = table.rows.filter(({ folded }) => folded !== true);
  const folded = table.rows.length - shown.length;
  const more = { ...table, rows: table.rows.filter((row) => row.folded === true) };
  return [
    renderRows(title, { ...table, rows: shown }),
    ...[note, legend].flatMap((text) =>
      text === undefined ? [] : [`<p class="note">${escapeHtml(sentence(text))}</p>`],
    ),
    folded === 0
      ? ''
      : `<details>\n<summary>${formatNumber(folded)} more ${folded === 1 ? 'row' : 'rows'}</summary>\n${renderRows(`${title}, more rows`, more)}\n</details>`,
  ]
    .filter((part) => part !== '')
    .join('\n');
}

function sentence(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}${text.endsWith('.') ? '' : '.'}`;
}

/** Rows that scroll in their own box. Columns of numbers are aligned to the right. */
function renderRows(label: string, table: ResultTable): string {
  const texts = table.rows.map((row) => cellTexts(table, row));
  const classes = table.columns.map(([, format], i) => {
    if (format !== undefined) return ' class="number"';
    const isLong = texts.some((cells) => expectDefined(cells[i], 'a cell').length > WRAP_LENGTH);
    return isLong ? ' class="text"' : '';
  });
  const head = table.columns.map(
    ([name], i) =>
      `<th scope="col"${expectDefined(classes[i], 'the class of a column')}>${escapeHtml(name)}</th>`,
  );
  const body = table.rows.map(({ picked }, at) => {
    const content = expectDefined(texts[at], 'the texts of a row').map((text, i) => {
      const [name, scope] = i === 0 ? ['th', ' scope="row"'] : ['td', ''];
      const tag = i > 0 || picked === undefined ? '' : ` <span class="tag">${escapeHtml(picked)}</span>`;
      return `<${name}${scope}${expectDefined(classes[i], 'the class of a column')}>${escapeHtml(text)}${tag}</${name}>`;
    });
    return `<tr${picked === undefined ? '' : ' class="picked"'}>${content.join('')}</tr>`;
  });
  return `<div class="scroll" role="region" tabindex="0" aria-label="${escapeHtml(label)}">
<table>
<thead><tr>${head.join('')}</tr></thead>
<tbody>
${body.join('\n')}
</tbody>
</table>
</div>`;
}

/** A list of terms and values; `note` is shown below a value in smaller type. */
export function renderTerms(
  className: string,
  terms: readonly { readonly term: string; readonly value: string; readonly note?: string }[],
): string {
  const items = terms.map(({ term, value, note }) => {
    const below = note === undefined ? '' : `<span>${escapeHtml(note)}</span>`;
    return `<div><dt>${escapeHtml(term)}</dt><dd>${escapeHtml(value)}${below}</dd></div>`;
  });
  return terms.length === 0 ? '' : `<dl class="${className}">${items.join('\n')}</dl>`;
}
