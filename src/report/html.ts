import { expectDefined } from '../core/errors.js';
import type { LegendItem, ReportFigure } from './canvas.js';
import { escapeHtml } from './format.js';

/** A table cell: its text, tags to the right of the text and a note below it. */
export interface Cell {
  readonly text: string;
  readonly note?: string;
  readonly tags?: readonly string[];
}

/** A table row; a picked row is highlighted. */
export interface Row {
  readonly cells: readonly Cell[];
  readonly picked?: boolean;
}

export interface TableInput {
  /** Name of the table for screen readers. */
  readonly label: string;
  readonly columns: readonly string[];
  readonly rows: readonly Row[];
}

const NUMERIC = /^[-+±−~≈<>]?\s?[\d.,]+\s?(%|[a-zA-Zµ/]{1,4})?$/;
/** A column with longer text than this may wrap, unless it is numeric. */
const WRAP_LENGTH = 32;
const SHAPES: Readonly<Record<LegendItem['shape'], string>> = {
  disc: '<circle cx="7" cy="7" r="4.5" fill="currentColor"/>',
  circle: '<circle cx="7" cy="7" r="5" fill="none" stroke="currentColor" stroke-width="2"/>',
  square: '<rect x="3" y="3" width="8" height="8" fill="currentColor"/>',
  diamond: '<path d="M7 1.5 11.5 7 7 12.5 2.5 7Z" fill="currentColor"/>',
  triangle: '<path d="M7 2 12 11.5H2Z" fill="currentColor"/>',
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
  return `<figure class="chart${layout}">
<h3>${escapeHtml(figure.title)}</h3>
<ul class="legend">${legend.join('')}</ul>
<div class="narrow">${figure.narrow}</div>
<div class="wide">${figure.wide}</div>
<figcaption><p>${escapeHtml(figure.summary)}</p><p class="muted">${escapeHtml(figure.hint)}</p></figcaption>
</figure>`;
}

/** A table that scrolls in its own box. Columns of numbers are aligned to the right. */
export function renderTable({ label, columns, rows }: TableInput): string {
  const classes = columns.map((_, column) =>
    classOf(rows.map(({ cells }) => expectDefined(cells[column], 'a cell of the table').text)),
  );
  const head = columns.map(
    (name, i) =>
      `<th scope="col"${expectDefined(classes[i], 'the class of a column')}>${escapeHtml(name)}</th>`,
  );
  const body = rows.map(({ cells, picked }) => {
    const content = cells.map((cell, i) => {
      const tags = (cell.tags ?? []).map(
        (tag, rank) =>
          ` <span class="tag${rank === 0 && picked === true ? '' : ' plain'}">${escapeHtml(tag)}</span>`,
      );
      const name = i === 0 ? 'th' : 'td';
      const note = cell.note === undefined ? '' : `<small>${escapeHtml(cell.note)}</small>`;
      const scope = i === 0 ? ' scope="row"' : '';
      return `<${name}${scope}${expectDefined(classes[i], 'the class of a column')}>${escapeHtml(cell.text)}${tags.join('')}${note}</${name}>`;
    });
    return `<tr${picked === true ? ' class="picked"' : ''}>${content.join('')}</tr>`;
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

function classOf(texts: readonly string[]): string {
  const filled = texts.filter((text) => text !== '' && text !== '–' && text !== 'not measured');
  if (filled.length > 0 && filled.every((text) => NUMERIC.test(text) || /^[\d.]+ to [\d.]+$/.test(text))) {
    return ' class="number"';
  }
  return filled.some((text) => text.length > WRAP_LENGTH) ? ' class="text"' : '';
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
