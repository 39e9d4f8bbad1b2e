import { describe, expect, test } from '@jest/globals';
import { createHash } from 'node:crypto';
import { matrix, matrixFromRows } from '../../src/core/matrix.js';
import { cellTexts } from '../../src/report/result-table.js';
import { renderReport, type ReportInput, type ReportParetoRow } from '../../src/report/render.js';
import { fullReport, MINIMAL_REPORT } from '../support/evaluate/report-fixture.js';

const HOSTILE = `<script>alert("1")</script><img src=x onerror='2'>&\u0000`;
const SECTIONS = [
  'Do this next',
  'What was measured',
  'Example queries, before and after',
  'A closer look',
  'Details',
  'Candidates',
  'Settings',
  'Data',
  'How to get these numbers again',
];

const ROW: ReportParetoRow = {
  label: 'one',
  dim: 64,
  datatype: 'float32',
  oversampling: 1,
  recallAt10: 0.9,
  interval: [0.89, 0.91],
  ramBytes: 1e6,
  diskBytes: 2e6,
  latencyMs: null,
  kind: 'compact',
  chosen: true,
  onFrontier: true,
};

/** Text of a page as a reader sees it: no tags, entities resolved, every space an ordinary one. */
function textOf(html: string): string {
  return (
    html
      .replace(/<(style|script)>.*?<\/\1>/gs, ' ')
      // Words of a command are parts of a line.
      .replace(/<\/?span>/g, '')
      .replace(/<[^>]*>/g, ' ')
      .replace(/&quot;/g, '"')
      .replace(/&#39;/g, "'")
      .replace(/&lt;/g, '<')
      .replace(/&gt;/g, '>')
      .replace(/&amp;/g, '&')
      .replace(/\s+/g, ' ')
  );
}

/** The full report with a hostile string wherever text goes in. */
function hostileReport(): ReportInput {
  const full = fullReport();
  const name = HOSTILE;
  return {
    title: name,
    createdBy: name,
    verdict: { tone: 'caution', headline: name, details: [name] },
    facts: [[name, name]],
    figures: [{ term: name, value: name, note: name }],
    pareto: full.pareto!.map((one) => ({ ...one, label: name, datatype: name })),
    relevanceFronts: full.relevanceFronts!.map((front) => ({
      ...front,
      name,
      measure: name,
      points: front.points.map((one) => ({ ...one, name })),
    })),
    recallPerDim: full.recallPerDim!.map((one) => ({ ...one, name })),
    perQuery: full.perQuery!.map((one) => ({ ...one, name })),
    lossCurve: { ...full.lossCurve!, name },
    map: {
      views: full.map!.views.map((view) => ({ ...view, name })),
      labels: full.map!.labels!.map((label) => `${name}${label}`),
      labelledBy: name,
    },
    memory: { title: name, pairs: [{ name, before: 2, after: 1 }], note: name },
    next: [{ text: name, commands: [name] }],
    examples: {
      note: name,
      queries: [
        {
          text: name,
          full: [{ text: name, onBothSides: true }],
          compact: [{ text: name, onBothSides: false }],
        },
      ],
    },
    reproduce: [name],
    tables: [
      {
        title: name,
        columns: [[name]],
        rows: [
          { cells: [name], picked: name },
          { cells: [name], folded: true },
        ],
        note: name,
        legend: name,
      },
    ],
  };
}

describe('renderReport', () => {
  test('escapes every text it is given', async () => {
    const html = await renderReport(hostileReport());
    expect(html).toContain('&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;');
    expect(html).not.toMatch(/<img/i);
    expect(html.match(/<script/gi)).toHaveLength(1);
    expect(html).not.toContain('\u0000');
    const tags = html.replace(/<(style|script)>.*?<\/\1>/gs, '').match(/<[^>]*>/g) ?? [];
    expect(tags.filter((tag) => /\son\w+\s*=/i.test(tag.replace(/"[^"]*"/g, '""')))).toEqual([]);
    const stripped = html.replace(/<(style|script)>.*?<\/\1>/gs, '').replace(/<[a-z/!][^<>]*>/gi, '');
    expect(stripped).not.toMatch(/[<>]/);
  });

  test('refers to nothing outside itself and runs nothing but the script of its copy buttons', async () => {
    const html = await renderReport({ ...fullReport(), reproduce: [] });
    expect(html).not.toMatch(/https?:|\bsrc=|\bhref=|url\(|@import|<link|javascript:|fetch\(|XMLHttp/i);
    const scripts = [...html.matchAll(/<script>(.*?)<\/script>/gs)].map(([, text]) => text ?? '');
    expect(scripts).toHaveLength(1);
    const hash = createHash('sha256').update(scripts[0]!).digest('base64');
    expect(html).toContain(
      `content="default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-${hash}'"`,
    );
  });

  test('colours each point the same before and after', async () => {
    const html = await renderReport({ ...MINIMAL_REPORT, map: fullReport().map! });
    const [before, after] = [...html.matchAll(/<svg class="plot".*?<\/svg>/gs)].map(([svg]) =>
      [...svg.matchAll(/<circle[^>]* fill="([^"]+)"/g)].map(([, fill]) => fill),
    );
    expect(before).toHaveLength(2000);
    expect(after).toEqual(before);
    expect(new Set(before).size).toBe(9);
    const text = textOf(html);
    expect(text).toContain('Before: 1,024 dimensions');
    expect(text).toContain('After: 128 dimensions');
    expect(text).toContain('the same in both maps, coloured by payload field “topic”');
  });

  test('leaves a point out of both maps if it has no place on one', async () => {
    const views = [
      {
        name: 'before',
        points: matrixFromRows([
          [0, 0],
          [1, 1],
          [2, NaN],
        ]),
      },
      {
        name: 'after',
        points: matrixFromRows([
          [0, 0],
          [NaN, 1],
          [2, 1],
        ]),
      },
    ];
    const html = await renderReport({ ...MINIMAL_REPORT, map: { views } });
    const drawings = [...html.matchAll(/<svg class="plot".*?<\/svg>/gs)];
    expect(drawings.map(([svg]) => svg.match(/<circle/g)!.length)).toEqual([1, 1]);
  });

  test('shows what each example query finds and loses, with long texts cut at a blank', async () => {
    const long = `a first line\n${'word '.repeat(200)}Last`;
    const html = await renderReport({
      ...MINIMAL_REPORT,
      examples: {
        note: 'how they were chosen',
        queries: [
          {
            text: long,
            full: [
              { text: 'on both sides', onBothSides: true },
              { text: 'lost', onBothSides: false },
            ],
            compact: [
              { text: 'on both sides', onBothSides: true },
              { text: 'new', onBothSides: false },
            ],
          },
        ],
      },
    });
    const text = textOf(html);
    expect(text).toMatch(/a first line (word )+… 1 of 2 found/);
    expect(text).not.toContain('Last');
    expect(text).toContain('Full vectors on both sides lost not found');
    expect(text).toContain('Compact collection on both sides new only here');
  });

  test('shows bytes before and after as bars and in words', async () => {
    const html = await renderReport({
      ...MINIMAL_REPORT,
      memory: { title: 'RAM', pairs: [{ name: 'here', before: 2e9, after: 5e8 }], note: 'estimated' },
    });
    expect(textOf(html)).toContain('RAM here Before 2 GB After 500 MB estimated');
    expect(
      [...html.matchAll(/class="fill \w+" style="width: ([\d.]+)%"/g)].map(([, width]) => width),
    ).toEqual(['100.0', '25.0']);
  });

  test('puts the verdict before the charts and the charts before the tables', async () => {
    const text = textOf(await renderReport(fullReport()));
    const order = ['in a fifth of the memory', ...SECTIONS].map((part) => text.lastIndexOf(` ${part}`));
    expect(order.every((at) => at > 0)).toBe(true);
    expect([...order].sort((a, b) => a - b)).toEqual(order);
  });

  test('shows every number it is given', async () => {
    const input = fullReport();
    const text = textOf(await renderReport(input));
    for (const table of input.tables!) {
      for (const row of table.rows) {
        // A tag stands between the name of a picked row and its values.
        const [name, ...values] = cellTexts(table, { cells: row.cells }).map((cell) =>
          cell.replaceAll('\u00A0', ' '),
        );
        expect(text).toContain(name!.trim());
        expect(text).toContain(` ${values.join(' ')} `);
      }
    }
    expect(text).toContain('1.04 GB');
    expect(text).toContain('6.81 ms');
    for (const [term, value] of input.facts) expect(text).toContain(`${term} ${value}`);
    for (const command of input.reproduce) expect(text).toContain(command);
  });

  test('gives no two kinds of storage the same colour', async () => {
    const pareto = Array.from({ length: 11 }, (_, i) => ({
      ...ROW,
      label: `row ${i}`,
      datatype: `storage-${String(i).padStart(2, '0')}`,
      ramBytes: 1e6 * (i + 1),
      chosen: i === 10,
      onFrontier: i === 10,
    }));
    const html = await renderReport({ ...MINIMAL_REPORT, pareto });
    const legend = /<ul class="legend">(.*?)<\/ul>/s.exec(html)?.[1] ?? '';
    const entries = [...legend.matchAll(/color: ([^"]*)".*?<span [^>]*>stored (?:as )?([^<]*)</g)];
    const colours = entries.map(([, colour]) => colour);
    expect(colours).toHaveLength(9);
    expect(new Set(colours).size).toBe(9);
    expect(entries.map(([, , name]) => name)).toEqual(expect.arrayContaining(['storage-10', 'otherwise']));
  });

  test('shows no star where the tag of the row says the same', async () => {
    const rows = [
      { cells: ['first'], starred: true, picked: 'saved' },
      { cells: ['second'], starred: false },
    ];
    const table = { title: 'Candidates', columns: [['candidate']] as const, rows };
    const text = textOf(await renderReport({ ...MINIMAL_REPORT, tables: [table] }));
    expect(text).toContain('candidate first saved second');
  });

  test('keeps the lines of code, which its copy button copies', async () => {
    const code = 'const a = {\n  b: "c",\n};';
    const ways = { title: 'How clients connect', ways: [{ text: 'By code.', commands: [code] }] };
    const html = await renderReport({ ...MINIMAL_REPORT, ways });
    const shown = /<code>(.*?)<\/code>/s.exec(html)?.[1] ?? '';
    expect(shown.replace(/<\/?span>/g, '').replaceAll('&quot;', '"')).toBe(code);
  });

  test('folds rows away, says how many they are, and stars, tags and notes the others', async () => {
    const html = await renderReport({
      ...MINIMAL_REPORT,
      tables: [
        {
          title: 'Sizes',
          columns: [['size'], ['recall', 3], ['interval', 3], ['bytes', 'bytes'], ['shift', 'signed']],
          rows: [
            { cells: ['small', 0.9, [0.88, 0.92], 1.5e9, 0.01], starred: true, picked: 'chosen' },
            { cells: ['large', Number.NaN, null, undefined, -0.01], starred: true },
            { cells: ['middle', 0.5, [0.4, 0.6], 1, 0], starred: false, folded: true },
          ],
          note: 'how it was measured',
        },
      ],
    });
    const text = textOf(html);
    expect(text).toContain('* small chosen 0.900 0.880 - 0.920 1.5 GB +0.0100 * large - - - -0.0100 How');
    expect(text).toContain('How it was measured. 1 more row size recall');
    expect(html.indexOf('middle')).toBeGreaterThan(html.indexOf('<details>'));
    expect(html).toContain('scope="col" class="number">recall</th>');
    // On narrow screens, the head of a column stands above each of its values.
    expect(html).toContain('data-head="recall" class="number">0.900</td>');
  });

  test('names each chart for a screen reader and says below what it shows', async () => {
    const html = await renderReport(fullReport());
    const labels = [...html.matchAll(/role="img" aria-label="([^"]+)"/g)].map(([, label]) => label ?? '');
    // Each chart is drawn for phones and for wide screens, the one of recall and memory also for those between.
    expect(labels).toHaveLength(13);
    for (const label of labels)
      expect(html).toContain(
        `<figcaption><p>${label.replace(/^(Before|After): [\d,]+ dimensions: /, '')}</p>`,
      );
    const text = textOf(html);
    expect(text).toContain(
      '3 of 4 candidates are on the front; best by topic (mAP@100): tldr-mlp with 0.501 at a recall@10 of 0.610; saved: neighbourhood-kl with 0.395 at a recall@10 of 0.931; the full vectors have 0.418.',
    );
    expect(text).toContain('At 16 dimensions tldr is best with 0.612; at 256 it still is with 0.964.');
    expect(text).toMatch(
      /The loss \(neighbourhood-kl\) fell from [\d.]+ to [\d.]+ over 12,000 steps; 1 without/,
    );
    expect(text).toContain('2,000 of 5,000 points');
  });

  test('leaves absent parts out', async () => {
    const html = await renderReport(MINIMAL_REPORT);
    expect(textOf(html)).toContain('Not recommended Keep the collection as it is.');
    for (const section of SECTIONS) expect(html).not.toContain(section);
    expect(html.replace(/<script>.*?<\/script>/s, '')).not.toMatch(
      /<figure|<table|<ul|<dl|<code|undefined|null|NaN/,
    );
  });

  test('leaves out what has no values and skips those that are not finite', async () => {
    const html = await renderReport({
      ...MINIMAL_REPORT,
      pareto: [],
      relevanceFronts: [],
      recallPerDim: [{ name: 'tldr', points: [] }],
      perQuery: [],
      lossCurve: { name: 'loss', values: [NaN, Infinity] },
      map: { views: [{ name: '', points: matrixFromRows([[NaN, 1]]) }] },
      tables: [],
    });
    expect(html).not.toContain('<figure');
    const withGaps = JSON.parse('[3, null, 2, null, 1]') as number[];
    const text = textOf(
      await renderReport({ ...MINIMAL_REPORT, lossCurve: { name: 'kl', values: withGaps } }),
    );
    expect(text).toContain('fell from 3 to 1 over 5 steps; 2 without a finite value not shown');
  });

  test('draws the smallest of everything without a broken coordinate', async () => {
    const html = await renderReport({
      ...MINIMAL_REPORT,
      pareto: [{ ...ROW, ramBytes: 0 }],
      relevanceFronts: [
        {
          name: 'topic',
          measure: 'mAP@100',
          fullVectors: 0,
          points: [{ name: 'a', recallAt10: 1, value: 0, onFront: true, chosen: true }],
        },
      ],
      recallPerDim: [{ name: 'a', points: [{ dim: 64, recallAt10: 1, interval: [1, 1] }] }],
      perQuery: [{ name: 'a', values: new Float64Array(0) }],
      lossCurve: { name: 'kl', values: [1] },
      map: { views: [{ name: '', points: matrix(1, 2) }] },
    });
    expect(html.match(/<figure/g)).toHaveLength(6);
    expect(html).not.toMatch(/NaN|Infinity|undefined/);
  });

  test('marks every candidate, the full vectors and the saved one on the chart of fidelity and relevance', async () => {
    const { relevanceFronts } = fullReport();
    const html = await renderReport({ ...MINIMAL_REPORT, relevanceFronts: relevanceFronts! });
    const [narrow, wide] = html.match(/<svg class="plot".*?<\/svg>/gs)!;
    for (const chart of [narrow, wide!]) {
      const titles = [...chart.matchAll(/<title>([^\n<]*)/g)].map(([, title]) => title);
      // The saved candidate has a ring beside its mark.
      expect(titles.sort()).toEqual(
        ['blend-0.4', 'full vectors', 'neighbourhood-kl', 'neighbourhood-kl', 'pca', 'tldr-mlp'].sort(),
      );
    }
    expect(textOf(wide!)).toMatch(/ saved(: neighbourhood-kl)? /);
  });

  test('says that nothing changes where the current setting is the chosen one', async () => {
    const row: ReportParetoRow = { ...ROW, kind: 'current', label: 'as it is' };
    const text = textOf(await renderReport({ ...MINIMAL_REPORT, pareto: [row] }));
    expect(text).toContain(
      'Nothing smaller was chosen; the collection as it is today, as it is, needs 1 MB of RAM at a recall of 0.900.',
    );
    expect(text).not.toContain('% less');
  });

  test('gives the same page for the same input', async () => {
    expect(await renderReport(fullReport())).toBe(await renderReport(fullReport()));
  });
});
