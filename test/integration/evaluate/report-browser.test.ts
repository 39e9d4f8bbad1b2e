import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { constants } from 'node:fs';
import { access, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { chromium, type Browser } from 'playwright-core';
import { renderReport, type ReportInput } from '../../../src/report/render.js';
import { comparisonTables } from '../../../src/cli/evaluate/tables.js';
import { comparisonPage } from '../../../src/cli/evaluate/page.js';
import { judgeTerms, parseTerms } from '../../../src/evaluate/acceptance.js';
import { comparisonFixture } from '../../support/evaluate/comparison-fixture.js';
import { fullReport, MINIMAL_REPORT } from '../../support/evaluate/report-fixture.js';

const BROWSERS = ['chromium', 'chromium-browser', 'google-chrome'];
const ARGUMENTS = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];
const WIDTHS = [320, 380, 768, 1024, 1400];
const SCHEMES = ['light', 'dark'] as const;
/** Drawings: recall and memory, two maps, relevance, recall at each size and of single queries, loss. */
const CHARTS_OF_FULL = 7;

/** Names without a space to break at and longer than any room there is. */
const LONG = 'a-collection-whose-name-is-longer-than-any-screen-'.repeat(6);

function longReport(): ReportInput {
  const full = fullReport();
  return {
    ...full,
    title: LONG,
    verdict: { tone: 'caution', headline: LONG, details: [LONG] },
    facts: [[LONG, LONG]],
    pareto: full.pareto!.map((row) => ({ ...row, label: row.label + LONG })),
    recallPerDim: full.recallPerDim!.map((one) => ({ ...one, name: one.name + LONG })),
    perQuery: full.perQuery!.map((one) => ({ ...one, name: one.name + LONG })),
    map: {
      views: full.map!.views.map((view) => ({ ...view, name: view.name + LONG })),
      labels: full.map!.labels!.map((label) => label + LONG),
      labelledBy: LONG,
    },
    memory: { ...full.memory!, title: LONG, note: LONG },
    next: [{ text: LONG, commands: [LONG] }],
    examples: { ...full.examples!, note: LONG },
    tables: [{ title: LONG, columns: [[LONG], [LONG]], rows: [{ cells: [LONG, LONG] }], note: LONG }],
    reproduce: [LONG],
  };
}

/** The page of `evaluate`: with the published terms, or with terms of which one does not hold; names plain or long. */
function evaluationReport({ asked, name }: { readonly asked: boolean; readonly name: string }): ReportInput {
  const comparison = comparisonFixture();
  const strata = comparison.strata!;
  const terms = asked ? parseTerms('recall@10>=0.9, min@10>=0.9, latency-p95<=20') : [];
  const shown = {
    ...comparison,
    strata: {
      ...strata,
      field: strata.field + name,
      strata: strata.strata.map((one) => ({ ...one, value: one.value + name })),
    },
  };
  return comparisonPage(shown, {
    title: `docs_2s${name} beside docs${name}`,
    queriesFrom: `400 queries from q${name}.npy`,
    terms: judgeTerms(terms, comparison.forms[2]!),
    facts: [['Full collection', `docs${name}`]],
    tables: comparisonTables(shown),
    next: () => [],
    command: `qdrant-tldr evaluate docs${name} docs_2s --encoder enc.onnx --queries q.npy --report r.html`,
  });
}

async function findBrowser(): Promise<string | null> {
  const folders = ['/usr/bin', ...(process.env['PATH'] ?? '').split(delimiter)];
  for (const path of BROWSERS.flatMap((name) => folders.map((folder) => join(folder, name)))) {
    const isThere = await access(path, constants.X_OK).then(
      () => true,
      () => false,
    );
    if (isThere) return path;
  }
  return null;
}

/** What the page looks like to the browser. Plain script, since tests are compiled without the types of a page. */
const MEASURE = `(() => {
  const isShown = (element) => element.getClientRects().length > 0;
  const parse = (colour) => (colour.match(/[\\d.]+/g) ?? []).map(Number);
  const luminance = (rgb) => {
    const [r, g, b] = rgb.map((part) => {
      const value = part / 255;
      return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const backgroundOf = (element) => {
    for (let at = element; at !== null; at = at.parentElement) {
      const [r, g, b, a = 1] = parse(getComputedStyle(at).backgroundColor);
      if (a === 1) return [r, g, b];
    }
    return [255, 255, 255];
  };
  const contrastOf = (element) => {
    const style = getComputedStyle(element);
    const [r, g, b] = parse(element.closest('svg') === null ? style.color : style.fill);
    const [dark, light] = [luminance([r, g, b]), luminance(backgroundOf(element))].sort((x, y) => x - y);
    return (light + 0.05) / (dark + 0.05);
  };
  const hasText = (element) =>
    [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim() !== '');
  const texts = [...document.body.querySelectorAll('*')].filter(
    (element) => hasText(element) && isShown(element) && element.closest('title') === null,
  );
  const contrasts = texts.map((element) => ({ text: element.textContent, ratio: contrastOf(element) }));
  const charts = [...document.querySelectorAll('figure svg.plot')].filter(isShown);
  const labels = charts.map((chart) =>
    [...chart.querySelectorAll('text')]
      .filter((text) => text.textContent !== '')
      .map((text) => ({ text: text.textContent, box: text.getBoundingClientRect(), style: getComputedStyle(text) })),
  );
  const overlapping = labels.flatMap((own) =>
    own.flatMap((a, i) =>
      own
        .slice(i + 1)
        .filter(
          (b) =>
            a.box.left < b.box.right - 0.5 && b.box.left < a.box.right - 0.5 &&
            a.box.top < b.box.bottom - 2 && b.box.top < a.box.bottom - 2,
        )
        .map((b) => a.text + ' / ' + b.text),
    ),
  );
  const clipped = charts.flatMap((chart, i) => {
    const card = chart.closest('figure').getBoundingClientRect();
    return labels[i].filter(({ box }) => box.left < card.left || box.right > card.right).map(({ text }) => text);
  });
  // Words of labels that stand on two lines, and boxes that hide a part of their content beside their edge.
  // Where rows are blocks, the head of the table is for screen readers only.
  const isSeen = (element) => isShown(element) && (element.closest('thead')?.getClientRects()[0]?.width ?? 2) > 1;
  const broken = [...document.querySelectorAll('h1, h2, h3, h4, dt, dd, th, summary, .legend span, .tag')]
    .filter(isSeen)
    .flatMap((element) => {
      const walker = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
      const found = [];
      for (let node = walker.nextNode(); node !== null; node = walker.nextNode())
        for (const match of node.textContent.matchAll(/[^\\s-]+/g)) {
          const range = document.createRange();
          range.setStart(node, match.index);
          range.setEnd(node, match.index + match[0].length);
          const tops = new Set([...range.getClientRects()].map(({ top }) => Math.round(top)));
          if (tops.size > 1) found.push(match[0]);
        }
      return found;
    });
  const hidden = [...document.querySelectorAll('.scroll')]
    .filter((box) => isShown(box) && box.scrollWidth > box.clientWidth + 1)
    .map((box) => box.getAttribute('aria-label'));
  const scale = charts
    .filter((_, i) => labels[i].length > 0)
    .map((chart) => chart.getBoundingClientRect().width / chart.viewBox.baseVal.width);
  return {
    body: contrastOf(document.body),
    weak: contrasts.filter(({ ratio }) => ratio < 4.5),
    charts: charts.map((chart) => {
      const { width, height } = chart.getBoundingClientRect();
      return { width, height, marks: chart.querySelectorAll('path, circle, rect, line').length };
    }),
    textPixels: Math.min(100, ...scale.map((value) => value * 12)),
    overlapping,
    clipped,
    broken,
    hidden,
    overflow: document.scrollingElement.scrollWidth - innerWidth,
    // Cells and code whose text is wider than their box.
    spilled: [...document.querySelectorAll('th, td, dd, code, li, p')]
      .filter((element) => isSeen(element) && getComputedStyle(element).display !== 'inline')
      .filter((element) => element.scrollWidth > element.clientWidth + 1)
      .map((element) => element.textContent.slice(0, 60)),
    // Values of a row that is a block, but which do not begin at the edge of their place.
    indented: [...document.querySelectorAll('td')]
      .filter((cell) => isShown(cell) && getComputedStyle(cell).display === 'flex' && getComputedStyle(cell).paddingLeft !== '0px')
      .map((cell) => cell.textContent),
    // Headings that stand more than one level below the heading before them.
    skipped: [...document.querySelectorAll('h1, h2, h3, h4')]
      .map((heading) => ({ level: Number(heading.localName[1]), text: heading.textContent }))
      .filter(({ level }, i, all) => level > (i === 0 ? 0 : all[i - 1].level) + 1)
      .map(({ text }) => text),
    unnamed: [...document.querySelectorAll('svg')].filter(
      (svg) => svg.getAttribute('aria-hidden') !== 'true' && (svg.getAttribute('role') !== 'img' || !svg.getAttribute('aria-label')),
    ).length,
  };
})()`;

interface Measured {
  readonly body: number;
  readonly weak: readonly { readonly text: string; readonly ratio: number }[];
  readonly charts: readonly { readonly width: number; readonly height: number; readonly marks: number }[];
  readonly textPixels: number;
  readonly broken: readonly string[];
  readonly hidden: readonly string[];
  readonly overlapping: readonly string[];
  readonly clipped: readonly string[];
  readonly overflow: number;
  readonly spilled: readonly string[];
  readonly indented: readonly string[];
  readonly skipped: readonly string[];
  readonly unnamed: number;
}

const executablePath = await findBrowser();
if (executablePath === null) {
  describe('the report in a browser', () => {
    test('left out: no Chromium is installed', () => {
      process.stderr.write(`browser tests left out: none of ${BROWSERS.join(', ')} is installed\n`);
      expect(executablePath).toBeNull();
    });
  });
} else {
  describe('the report in a browser', () => {
    let browser: Browser;
    let folder: string;

    beforeAll(async () => {
      folder = await mkdtemp(join(tmpdir(), 'report-'));
      browser = await chromium.launch({ executablePath, args: ARGUMENTS });
    });
    afterAll(async () => {
      await browser.close();
      await rm(folder, { recursive: true, force: true });
    });

    /** Opens the report at every width in both schemes; the browser's complaints and requests are kept. */
    async function measureEverywhere(
      input: ReportInput,
    ): Promise<{ where: string; measured: Measured; complaints: string[] }[]> {
      const path = join(folder, 'report.html');
      await writeFile(path, await renderReport(input));
      const url = pathToFileURL(path).href;
      const results = [];
      for (const colorScheme of SCHEMES) {
        const context = await browser.newContext({ colorScheme });
        const page = await context.newPage();
        const complaints: string[] = [];
        page.on('console', (message) => {
          if (message.type() === 'error') complaints.push(`console: ${message.text()}`);
        });
        page.on('pageerror', (error) => complaints.push(`page: ${error.message}`));
        page.on('request', (request) => {
          if (request.url() !== url) complaints.push(`request: ${request.url()}`);
        });
        await page.goto(url);
        for (const width of WIDTHS) {
          await page.setViewportSize({ width, height: 900 });
          const measured = await page.evaluate<Measured>(MEASURE);
          results.push({ where: `${width} px, ${colorScheme}`, measured, complaints });
        }
        await context.close();
      }
      return results;
    }

    test('shows all charts legibly, whatever the width and the colour scheme', async () => {
      for (const { where, measured, complaints } of await measureEverywhere(fullReport())) {
        expect({ where, complaints, weak: measured.weak }).toEqual({ where, complaints: [], weak: [] });
        expect(measured.overflow).toBeLessThanOrEqual(0);
        expect(measured.body).toBeGreaterThanOrEqual(4.5);
        expect(measured.charts).toHaveLength(CHARTS_OF_FULL);
        for (const chart of measured.charts) {
          expect(Math.min(chart.width, chart.height)).toBeGreaterThan(150);
          expect(chart.marks).toBeGreaterThan(3);
        }
        expect(measured.textPixels).toBeGreaterThan(9);
        const { overlapping, clipped, broken, hidden } = measured;
        expect({ where, overlapping, clipped }).toEqual({ where, overlapping: [], clipped: [] });
        expect({ where, broken, hidden }).toEqual({ where, broken: [], hidden: [] });
        const { spilled, indented, skipped, unnamed } = measured;
        expect({ where, spilled, indented, skipped, unnamed }).toEqual({
          where,
          spilled: [],
          indented: [],
          skipped: [],
          unnamed: 0,
        });
      }
    });

    test.each([
      ['the published terms', { asked: false, name: '' }],
      ['terms that fail', { asked: true, name: '' }],
      ['names longer than the window', { asked: true, name: LONG }],
    ])('shows an evaluation with %s', async (_what, given) => {
      for (const { where, measured, complaints } of await measureEverywhere(evaluationReport(given))) {
        const { weak, overlapping, clipped } = measured;
        expect({ where, complaints, weak, overlapping, clipped }).toEqual({
          where,
          complaints: [],
          weak: [],
          overlapping: [],
          clipped: [],
        });
        expect(measured.overflow).toBeLessThanOrEqual(0);
        expect(measured.charts).toHaveLength(1);
        expect(measured.charts[0]!.marks).toBeGreaterThan(3);
      }
    });

    test('shows memory before and after next to the verdict, before its details', async () => {
      const path = join(folder, 'order.html');
      await writeFile(path, await renderReport(fullReport()));
      const page = await browser.newPage();
      await page.goto(pathToFileURL(path).href);
      for (const width of WIDTHS) {
        await page.setViewportSize({ width, height: 900 });
        const places = await page.evaluate<{ left: number; top: number; bottom: number }[]>(
          `['.headline', '.memory', '.verdict > .details'].map((name) => {
            const { left, top, bottom } = document.querySelector(name).getBoundingClientRect();
            return { left, top, bottom };
          })`,
        );
        const [headline, memory, details] = places;
        expect(details!.top).toBeGreaterThanOrEqual(headline!.bottom);
        if (width < 900) expect(details!.top).toBeGreaterThanOrEqual(memory!.bottom);
        else expect(memory!.top).toBeLessThan(headline!.bottom);
      }
      await page.close();
    });

    test('can be read without script, and copies a command with it', async () => {
      const path = join(folder, 'copy.html');
      const report = fullReport();
      await writeFile(path, await renderReport(report));
      const url = pathToFileURL(path).href;
      const plain = await browser.newContext({ javaScriptEnabled: false });
      const silent = await plain.newPage();
      await silent.goto(url);
      expect(await silent.locator('button').count()).toBeGreaterThan(0);
      expect(await silent.locator('button:visible').count()).toBe(0);
      const command = report.next![0]!.commands[0]!;
      expect(await silent.locator('.steps code:visible').allInnerTexts()).toEqual([command]);
      await silent.locator('.examples summary').nth(4).click();
      expect(await silent.locator('.examples details').nth(4).locator('ol:visible').count()).toBe(2);
      await plain.close();

      const context = await browser.newContext();
      await context.grantPermissions(['clipboard-read', 'clipboard-write']);
      const page = await context.newPage();
      await page.goto(url);
      await page.locator('.steps button').first().click();
      await page.locator('.steps button', { hasText: /Copied|Selected/ }).waitFor();
      expect(await page.evaluate<string>('String(getSelection())')).toBe(command);
      await context.close();
    });

    test('shows the verdict alone where there is nothing else', async () => {
      for (const { where, measured, complaints } of await measureEverywhere(MINIMAL_REPORT)) {
        expect({ where, complaints, weak: measured.weak }).toEqual({ where, complaints: [], weak: [] });
        expect(measured.overflow).toBeLessThanOrEqual(0);
        expect(measured.charts).toEqual([]);
      }
    });

    test('never gets wider than the window, however long the names', async () => {
      for (const { where, measured, complaints } of await measureEverywhere(longReport())) {
        expect({ where, complaints, clipped: measured.clipped }).toEqual({
          where,
          complaints: [],
          clipped: [],
        });
        expect(measured.overflow).toBeLessThanOrEqual(0);
      }
    });
  });
}
