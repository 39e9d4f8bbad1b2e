import { expect, test } from '@jest/globals';
import { planPage } from '../../../src/cli/plan/page.js';
import { sizingTable } from '../../../src/cli/plan/print.js';
import { candidateTable } from '../../../src/cli/train/output.js';
import { comparisonTables, termsTable } from '../../../src/cli/evaluate/tables.js';
import { sayTables } from '../../../src/cli/console/show-results.js';
import type { ConsoleRun } from '../../../src/cli/console/command-output.js';
import { judgeTerms, parseTerms } from '../../../src/evaluate/acceptance.js';
import type { SizingRow } from '../../../src/plan/sizing-row.js';
import type { CandidateReport } from '../../../src/select/train-report.js';
import { renderReport } from '../../../src/report/render.js';
import { cellTexts, type ResultTable } from '../../../src/report/result-table.js';
import { comparisonFixture } from '../../support/evaluate/comparison-fixture.js';
import { MINIMAL_REPORT } from '../../support/evaluate/report-fixture.js';

function printed(tables: readonly ResultTable[], options?: Parameters<typeof sayTables>[2]): string {
  const lines: string[] = [];
  const run: Pick<ConsoleRun, 'say'> = { say: (line = '') => lines.push(line) };
  sayTables(run, tables, options);
  return lines.join('\n');
}

const CANDIDATE: CandidateReport = {
  name: 'pca',
  compactDistance: 'cosine',
  recallAt10: 0.81,
  interval: [0.8, 0.82],
  r10At30: 0.93,
  r10At100: 0.99,
  objective: 0.41,
  confirmed: { recallAt10: 0.8, objective: 0.4 },
  unseenRecallAt10: 0.71,
  seconds: 1.25,
  multiplyAdds: 32768,
};

function candidates(objective: string): ResultTable {
  const report: Parameters<typeof candidateTable>[0] = {
    candidates: [CANDIDATE, { ...CANDIDATE, name: 'tldr', objective: 0.5 }],
    objective,
    shipped: 'tldr',
    confirmQueries: 500,
    fullVectors: objective === 'recall@10' ? null : { objective: 0.45, confirmed: 0.44, lead: [0.01, 0.09] },
  };
  return candidateTable(report);
}

test('the terminal and the page show the same columns, rows and notes', async () => {
  const comparison = comparisonFixture();
  const terms = judgeTerms(parseTerms('recall@10>=0.9, latency-p95<=20'), comparison.forms[2]!);
  const tables = [
    ...comparisonTables(comparison),
    termsTable(terms, { form: 'rescored', asked: true }),
    candidates('recall@10'),
    candidates('mAP@100'),
  ];
  const text = printed(tables).replace(/ +/g, ' ');
  const page = (await renderReport({ ...MINIMAL_REPORT, tables }))
    .replace(/<[^>]*>/g, ' ')
    .replace(/&gt;/g, '>')
    .replace(/&lt;/g, '<')
    .replace(/\s+/g, ' ');
  for (const table of tables) {
    const heads = table.columns.map(([head]) => head).join(' ');
    expect(text).toContain(heads);
    expect(page).toContain(heads);
    // On the page, a tag beside the name says what a star says in the terminal.
    const hasStars = table.rows.some(({ starred, picked }) => starred === true && picked === undefined);
    for (const row of table.rows) {
      const cells = cellTexts(table, row).map((cell) => cell.trim().replaceAll('\u00A0', ' '));
      const [name, ...values] = cells;
      const marked = row.picked === undefined ? name! : name!.replace('*', '>');
      expect(text).toContain(`${marked} ${values.join(' ')}`.trimEnd());
      const onPage = hasStars ? name! : name!.replace(/^\* /, '');
      expect(page).toContain(`${onPage} ${[row.picked ?? '', ...values].join(' ').trim()}`);
    }
    expect(text).toContain(table.note ?? '');
    expect(page).toContain(table.note?.slice(1) ?? '');
  }
});

test('the terminal leaves folded rows out, says how many, and cuts long names', () => {
  const { strata, ...comparison } = comparisonFixture();
  const many = Array.from({ length: 13 }, (_, i) => ({
    ...strata!.strata[0]!,
    value: `${i}${'x'.repeat(60)}`,
  }));
  const [table] = comparisonTables({ ...comparison, strata: { ...strata!, strata: many } }).slice(-1);
  const text = printed([table!]);
  expect(text).toContain(`\n9${'x'.repeat(38)}… `);
  expect(text).not.toContain('\n10x');
  expect(text).toContain('\n(rare) ');
  expect(text).toContain('\n3 more rows: --verbose');
  expect(printed([table!], { all: true })).toContain('\n12x');
});

test('a plan marks what no other beats, and puts away the other compact rows but the chosen one', async () => {
  const rowOf = (label: string, kind: SizingRow['kind'], [recallAt10, megabytes]: number[]): SizingRow => ({
    label,
    kind,
    dim: 64,
    datatype: 'float32',
    hnswM: 16,
    oversampling: 1,
    layout: kind === 'compact' ? 'compact' : null,
    sampleRecallAt10: recallAt10!,
    sampleInterval: [0, 1],
    recallAt10: recallAt10!,
    interval: [recallAt10! - 0.01, 1],
    ndcgAt10: 0.9,
    latencyMsP50: 1.25,
    latencyMsP95: 2,
    serverMsP50: null,
    prefix: null,
    deployable: true,
    evidence: { recall: Float64Array.of(1), perDoubling: Float64Array.of(0), doublings: 0, fitGap: null },
    ramBytesPerMillion: 5e6,
    diskBytesPerMillion: 5e6,
    ramBytes: megabytes! * 1e6,
    diskBytes: 7e6,
  });
  const rows = [
    rowOf('512 as configured', 'current', [0.99, 20]),
    rowOf('512 scalar', 'full', [0.8, 9]),
    rowOf('64 float32', 'compact', [0.9, 2]),
    rowOf('32 float32', 'compact', [0.7, 3]),
    rowOf('32 scalar', 'compact', [0.6, 3]),
  ];
  const result = {
    rows,
    encoders: [],
    samplePoints: 4800,
    keptOut: 0,
    queries: { count: 200, heldOut: true, training: 0 },
    doublings: 1,
    beside: false,
    notes: [],
  };
  const chosen = rows[3]!;
  const table = sizingTable(result, chosen);
  const text = printed([table], { more: '--all' });
  expect(text.split('\n').slice(1)).toEqual([
    expect.stringMatching(/^configuration +rescored +predicted .* at 4,800 .* ms p50 +p95$/),
    expect.stringMatching(/^\* 64 float32 +no +0\.900 +0\.890 - 1\.000 +0\.900 .* 2 MB +7 MB +1\.3 +2\.0$/),
    expect.stringMatching(/^> 32 float32 /),
    expect.stringMatching(/^ {2}512 scalar /),
    expect.stringMatching(/^\* 512 as configured /),
    '> marks the row that was chosen',
    '* no other configuration has at least this recall for less RAM; predicted: recall@10 in the whole collection',
    '1 more row: --all',
  ]);
  const vector = { name: '', dim: 512, distance: 'cosine' } as const;
  const setup = { vector, points: 9600 };
  const parts = {
    collection: 'docs',
    setup,
    result,
    target: undefined,
    chosen,
    passedOver: null,
    tables: [table],
  };
  const words = { command: 'plan docs', commands: [], commandWithTarget: '' };
  const page = await renderReport(planPage({ ...parts, ...words }));
  expect(planPage({ ...parts, ...words }).verdict.tone).toBe('good');
  const fewQueries = { ...result, queries: { ...result.queries, count: 20 } };
  const { verdict } = planPage({ ...parts, ...words, result: fewQueries });
  expect(verdict.tone).toBe('caution');
  expect(verdict.details.join(' ')).toContain('Only 20 queries measured it');
  expect(page).toMatch(
    /<tr role="row" class="picked"><th role="rowheader" scope="row"><span class="star"><\/span> 32 float32 <span class="tag">chosen<\/span>/,
  );
  expect(page.indexOf('32 scalar</th>')).toBeGreaterThan(page.indexOf('<summary>1 more row</summary>'));
  expect(page).toContain('The recall is predicted for the size of the whole collection.');
  expect(page).toContain('recall@10 for 9,600 points');
  expect(page).toContain('3\u00A0MB<span>20\u00A0MB today, 85\u00A0% less</span>');
});

test.each([60, 80, 120])('on %i columns every table fits, with its most important columns', (columns) => {
  const lines: string[] = [];
  const run = { say: (line = '') => void lines.push(...line.split('\n')), columns };
  const [recall] = comparisonTables(comparisonFixture());
  sayTables(run, [recall!, candidates('recall@10'), candidates('mAP@100')]);
  const tables = lines.filter((line) => !line.startsWith('a wider terminal'));
  for (const line of tables) expect(line.length).toBeLessThanOrEqual(columns);
  const heads = tables.filter((line) => /^(candidate|recall@)/.test(line));
  expect(heads).toEqual([
    expect.stringMatching(/mean.* RAM/),
    expect.stringMatching(/recall@10/),
    expect.stringMatching(/mAP@100 +recall@10/),
  ]);
  if (columns < 120)
    expect(lines).toContainEqual(expect.stringMatching(/^a wider terminal also shows: .*distance/));
});

test('training shows the saved candidate, the best PCA and the best others, five in all, in plain words', () => {
  const names = [
    'tldr-mlp',
    'tldr',
    'neighbourhood-kl',
    'neighbourhood-kl-residual',
    'tldr-flinear',
    'pca',
    'prefix',
  ];
  const report = {
    candidates: names.map((name, i) => ({ ...CANDIDATE, name, objective: 1 - i / 10 })),
    objective: 'recall@10',
    shipped: 'prefix',
    confirmQueries: 500,
    fullVectors: null,
  };
  const namesIn = (text: string): string[] =>
    text
      .split('\n')
      .slice(2)
      .map((line) => line.split(/ {2,}\d/)[0]!.trim());
  expect(namesIn(printed([candidateTable(report)]))).toEqual([
    'TLDR, hidden layer',
    'TLDR',
    'learned, linear',
    'PCA',
    '> first dimensions',
    '> marks the row that was saved',
    '2 more rows: --verbose',
  ]);
  expect(namesIn(printed([candidateTable(report, true)], { all: true })).slice(0, 7)).toEqual(
    names.map((name) => (name === 'prefix' ? '> prefix' : name)),
  );
});
