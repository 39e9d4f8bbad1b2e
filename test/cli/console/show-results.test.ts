import { expect, test } from '@jest/globals';
import { candidateTable } from '../../../src/cli/train/output.js';
import { comparisonTables, termsTable } from '../../../src/cli/evaluate/tables.js';
import { sayTables } from '../../../src/cli/console/show-results.js';
import type { ConsoleRun } from '../../../src/cli/console/run.js';
import { judgeTerms, parseTerms } from '../../../src/evaluate/acceptance.js';
import type { CandidateReport, TrainReport } from '../../../src/select/train-report.js';
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
  seconds: 1.25,
  multiplyAdds: 32768,
};

function candidates(objective: string): ResultTable {
  const report: Pick<TrainReport, 'candidates' | 'objective' | 'shipped' | 'confirmQueries'> = {
    candidates: [CANDIDATE, { ...CANDIDATE, name: 'tldr', objective: 0.5 }],
    objective,
    shipped: 'tldr',
    confirmQueries: 500,
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
    for (const row of table.rows) {
      const [name, ...values] = cellTexts(table, row).map((cell) => cell.trim());
      expect(text).toContain(`${name!} ${values.join(' ')}`);
      expect(page).toContain(`${name!} ${[row.picked ?? '', ...values].join(' ').trim()}`);
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
  expect(text).toContain('\n3 more rows: --json');
  expect(printed([table!], { all: true })).toContain('\n12x');
});
