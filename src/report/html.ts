import { expectDefined } from '../core/errors.js';
import type { LegendItem, ReportFigure } from './canvas.js';
import { escapeHtml, formatNumber } from './format.js';
import type { PageStep } from './input.js';
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
  swatch: '<rect y="4" width="14" height="6" rx="3" fill="currentColor"/>',
  line: '<path d="M0 7H14" stroke="currentColor" stroke-width="2.5"/>',
};

/** A part of a section with a heading of its own; '' if `content` is empty. */
export function renderSubsection(title: string, content: string): string {
  return content === '' ? '' : `<div class="part">\n<h3>${escapeHtml(title)}</h3>\n${content}\n</div>`;
}

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
  const drawings = (['narrow', 'medium', 'wide'] as const).flatMap((width) => {
    const svg = figure[width];
    return svg === undefined ? [] : [`<div class="${width}">${svg}</div>`];
  });
  const views = (figure.views ?? []).map(
    ({ name, svg }) => `<div>${name === '' ? '' : `<h4>${escapeHtml(name)}</h4>`}${svg}</div>`,
  );
  if (views.length > 0) drawings.push(`<div class="views">${views.join('\n')}</div>`);
  return `<figure class="chart${layout}${figure.medium === undefined ? '' : ' three-widths'}">
<h3>${escapeHtml(figure.title)}</h3>
<ul class="legend">${legend.join('')}</ul>
${drawings.join('\n')}
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

/** The text with a capital at its beginning and a full stop at its end. */
export function sentence(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}${/[.?!:]$/.test(text) ? '' : '.'}`;
}

/** From so many columns on, rows become blocks on screens of middle width, too. */
const MANY_COLUMNS = 7;

/**
 * Rows in their own box. On screens that are too narrow for the columns, each row becomes a block in which every value
 * has the head of its column above it. The roles keep the table a table for screen readers then. Columns of numbers
 * are aligned to the right.
 */
function renderRows(label: string, table: ResultTable): string {
  const texts = table.rows.map(({ cells }) => cellTexts(table, { cells }));
  const classes = table.columns.map(([, format], i) => {
    if (format !== undefined) return ' class="number"';
    const isLong = texts.some((cells) => expectDefined(cells[i], 'a cell').length > WRAP_LENGTH);
    return isLong ? ' class="text"' : '';
  });
  const classOf = (i: number): string => expectDefined(classes[i], 'the class of a column');
  const head = table.columns.map(
    ([name], i) => `<th role="columnheader" scope="col"${classOf(i)}>${escapeHtml(name)}</th>`,
  );
  // A star that says no more than the tag beside it is left out.
  const hasStars = table.rows.some(({ starred, picked }) => starred === true && picked === undefined);
  const body = table.rows.map(({ picked, starred }, at) => {
    const content = expectDefined(texts[at], 'the texts of a row').map((text, i) => {
      const [name] = expectDefined(table.columns[i], 'a column');
      if (i > 0)
        return `<td role="cell" data-head="${escapeHtml(name)}"${classOf(i)}>${escapeHtml(text)}</td>`;
      const tag = picked === undefined ? '' : ` <span class="tag">${escapeHtml(picked)}</span>`;
      const star = hasStars ? `<span class="star">${starred === true ? '*' : ''}</span> ` : '';
      return `<th role="rowheader" scope="row"${classOf(i)}>${star}${escapeHtml(text)}${tag}</th>`;
    });
    return `<tr role="row"${picked === undefined ? '' : ' class="picked"'}>${content.join('')}</tr>`;
  });
  const size = table.columns.length >= MANY_COLUMNS ? 'many' : 'few';
  return `<div class="scroll ${size}" role="region" tabindex="0" aria-label="${escapeHtml(label)}">
<table role="table">
<thead role="rowgroup"><tr role="row">${head.join('')}</tr></thead>
<tbody role="rowgroup">
${body.join('\n')}
</tbody>
</table>
</div>`;
}

/** Commands, each with a button that copies it; the page's script shows the buttons. */
export function renderCommands(commands: readonly string[]): string {
  if (commands.length === 0) return '';
  const lines = commands.map((command) => {
    const button = command.startsWith('#')
      ? ''
      : '<button type="button" class="copy" aria-live="polite" hidden>Copy</button>';
    const kind = command.includes('\n') ? 'command code' : 'command';
    return `<div class="${kind}"><code>${command.split('\n').map(renderWords).join('\n')}</code>${button}</div>`;
  });
  return `<div class="commands">\n${lines.join('\n')}\n</div>`;
}

/** A line of code that breaks between words only, not behind the dashes of a flag. */
function renderWords(line: string): string {
  return line
    .split(' ')
    .map((word) => (word === '' ? '' : `<span>${escapeHtml(word)}</span>`))
    .join(' ');
}

/** Steps in their order, or ways of which one is enough, each with its commands. */
export function renderSteps(steps: readonly PageStep[], kind: 'steps' | 'ways' = 'steps'): string {
  if (steps.length === 0) return '';
  const items = steps.map(
    ({ text, commands }) => `<li><p>${escapeHtml(text)}</p>\n${renderCommands(commands)}</li>`,
  );
  const list = kind === 'steps' ? 'ol' : 'ul';
  return `<${list} class="${kind}">\n${items.join('\n')}\n</${list}>`;
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
