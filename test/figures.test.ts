import { describe, expect, test } from '@jest/globals';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';

const ROOT = process.cwd();
const NUMBER = /(?<![\w.,/@#-])(?:\d+(?:,\d{3})*(?:\.\d+)?|\.\d+)(?![\w@]|[.,-]\d)/g;
/** A number with one of these behind it was measured, wherever it stands. */
const UNIT = /^\s?(?:s|ms|MB|MiB|GB|GFLOPS|points\/s|times)\b/;
/** Sections of README that are about nothing but what was measured: every number there is a figure. */
const FIGURE_SECTIONS = [
  'What it gives',
  "Why not the server's own quantisation, Matryoshka prefixes or PCA?",
  'Numbers and how to get them again',
];
const LINK = /\]\(([^)#\s]+\.md)(?:#([^)\s]+))?\)/g;

/** A line of a page, with the figures that it states and the places that it links to. */
interface FigureLine {
  readonly place: string;
  readonly text: string;
  readonly figures: readonly string[];
  readonly links: readonly Link[];
}

interface Link {
  readonly page: string;
  readonly anchor: string | undefined;
}

const read = (page: string): string => readFileSync(join(ROOT, page), 'utf8');

/** The part of a heading's link behind the `#`, as GitHub makes it. */
function anchorOf(heading: string): string {
  return heading
    .toLowerCase()
    .replace(/[^\p{L}\p{N}\s_-]/gu, '')
    .trim()
    .replace(/\s/g, '-');
}

/** The text of a page, or of one of its sections with the sections inside it. @throws if there is no such section */
function textOf({ page, anchor }: Link): string {
  const text = read(page);
  if (anchor === undefined) return text;
  const lines = text.split('\n');
  const level = (line: string): number => /^#+(?= )/.exec(line)?.[0].length ?? Infinity;
  const from = lines.findIndex(
    (line) => level(line) < Infinity && anchorOf(line.replace(/^#+ /, '')) === anchor,
  );
  if (from < 0) throw new Error(`${page} has no section #${anchor}`);
  const length = lines.slice(from + 1).findIndex((line) => level(line) <= level(lines[from] ?? ''));
  return lines.slice(from, length < 0 ? undefined : from + 1 + length).join('\n');
}

function linksOf(line: string, page: string): Link[] {
  return [...line.matchAll(LINK)]
    .filter(([, to = '']) => !to.includes('://'))
    .map(([, to = '', anchor]) => ({ page: normalize(join(dirname(page), to)), anchor }));
}

interface NumberFound {
  /** As it is written, with a zero before a leading point. */
  readonly number: string;
  readonly hasUnit: boolean;
}

/** The numbers of a text, without those in the targets of its links and, if asked, in code. */
function numbersOf(text: string, { code }: { readonly code: boolean }): NumberFound[] {
  const plain = text.replace(/\]\([^)]*\)/g, ']').replace(/`([^`\n]*)`/g, code ? ' $1 ' : ' ');
  return [...plain.matchAll(NUMBER)].map(({ 0: number, index }) => ({
    number: number.replace(/^\./, '0.'),
    hasUnit: UNIT.test(plain.slice(index + number.length)),
  }));
}

/** Lines of a page with a number that was measured. A row of a table without a link has that of the table's header. */
function figureLines(page: string, isFigure: (found: NumberFound, section: string) => boolean): FigureLine[] {
  let [section, header, inCode] = ['', '', false];
  const found: FigureLine[] = [];
  for (const [i, line] of read(page).split('\n').entries()) {
    if (line.startsWith('```')) inCode = !inCode;
    if (inCode) continue;
    if (line.startsWith('#')) section = line.replace(/^#+ /, '');
    header = line.startsWith('|') ? header || line : '';
    const figures = numbersOf(line, { code: false }).filter((one) => isFigure(one, section));
    if (figures.length === 0) continue;
    const links = [linksOf(line, page), linksOf(header, page)].find((some) => some.length > 0) ?? [];
    found.push({
      place: `${page}:${i + 1}`,
      text: line,
      figures: figures.map(({ number }) => number),
      links,
    });
  }
  return found;
}

/** What is wrong with a line: no link, or figures that no linked section has. */
function disagreement({ place, text, figures, links }: FigureLine): string[] {
  const numbers = new Set(
    links.flatMap((link) => numbersOf(textOf(link), { code: true }).map(({ number }) => number)),
  );
  const missing = figures.filter((figure) => !numbers.has(figure));
  if (missing.length === 0) return [];
  const where = links.map(({ page, anchor }) => (anchor === undefined ? page : `${page}#${anchor}`));
  const said = links.length === 0 ? 'it links to no page that has them' : `not in ${where.join(' or ')}`;
  return [`${place}: ${missing.join(', ')}: ${said}\n  ${text}`];
}

describe('figures', () => {
  test('of README are those of the pages that it links to', () => {
    const lines = figureLines(
      'README.md',
      ({ hasUnit }, section) => hasUnit || FIGURE_SECTIONS.includes(section),
    );
    expect(lines.length).toBeGreaterThan(10);
    expect(lines.flatMap(disagreement)).toEqual([]);
  });

  test('of reference pages are those of the benchmarks that they link to', () => {
    const pages = readdirSync(join(ROOT, 'docs')).filter((name) => name.endsWith('.md'));
    const lines = pages
      .flatMap((name) =>
        figureLines(join('docs', name), ({ number, hasUnit }) => hasUnit || number.includes('.')),
      )
      .filter(({ links }) => links.some(({ page }) => page.startsWith(join('docs', 'benchmarks'))));
    expect(lines.length).toBeGreaterThan(2);
    expect(lines.flatMap(disagreement)).toEqual([]);
  });

  test('that disagree are reported with the line and the page', () => {
    const text = 'It takes 7.77 s and .35 s ([page](docs/benchmarks/training.md#very-wide-vectors)).';
    const line = { place: 'README.md:1', text, figures: ['7.77', '2.8'], links: linksOf(text, 'README.md') };
    expect(disagreement(line)).toEqual([
      `README.md:1: 7.77: not in docs/benchmarks/training.md#very-wide-vectors\n  ${text}`,
    ]);
    expect(disagreement({ ...line, links: [] })).toEqual([
      `README.md:1: 7.77, 2.8: it links to no page that has them\n  ${text}`,
    ]);
  });
});
