import {
  escapeHtml,
  formatBytes,
  formatInterval,
  formatLatency,
  formatNumber,
  formatPercent,
  formatShare,
} from './format.js';
import { renderTable, type Row } from './html.js';
import type { KeyFigure, ReportCandidate, ReportInput, ReportParetoRow } from './input.js';

/**
 * The numbers below the verdict: the chosen setting compared with today's, or the shipped encoder's recall.
 */
export function keyFigures({ figures, pareto = [], candidates = [] }: ReportInput): readonly KeyFigure[] {
  if (figures !== undefined) return figures;
  const chosen = pareto.find((row) => row.chosen);
  const current = pareto.find((row) => row.kind === 'current');
  if (chosen !== undefined) return settingFigures(chosen, current === chosen ? undefined : current);
  const shipped = candidates.find((candidate) => candidate.shipped);
  if (shipped === undefined) return [];
  return [
    { term: 'Recall@10', value: formatShare(shipped.recallAt10), note: formatInterval(shipped.interval) },
    { term: 'In the first 30', value: formatShare(shipped.r10At30), note: 'R10@30, what rescoring 30 finds' },
    {
      term: 'In the first 100',
      value: formatShare(shipped.r10At100),
      note: 'R10@100, what rescoring 100 finds',
    },
  ];
}

function settingFigures(chosen: ReportParetoRow, current: ReportParetoRow | undefined): KeyFigure[] {
  const was = (text: (row: ReportParetoRow) => string): { note?: string } =>
    current === undefined ? {} : { note: text(current) };
  const figures: KeyFigure[] = [
    {
      term: 'Memory',
      value: formatBytes(chosen.ramBytes),
      ...was((row) => `${formatBytes(row.ramBytes)} today, ${compareBytes(chosen.ramBytes, row.ramBytes)}`),
    },
    {
      term: 'Recall@10',
      value: formatShare(chosen.recallAt10),
      ...was((row) => `${formatShare(row.recallAt10)} today`),
    },
    {
      term: 'Disk',
      value: formatBytes(chosen.diskBytes),
      ...was((row) => `${formatBytes(row.diskBytes)} today`),
    },
  ];
  if (chosen.latencyMs === null) return figures;
  const latency = was((row) => `${formatLatency(row.latencyMs)} today`);
  return [...figures, { term: 'Latency of a query', value: formatLatency(chosen.latencyMs), ...latency }];
}

function compareBytes(now: number, before: number): string {
  if (before <= 0 || now === before) return 'the same';
  return now < before ? `${formatPercent(1 - now / before)} less` : `${formatPercent(now / before - 1)} more`;
}

/** The table of candidates, with the shipped one highlighted. */
export function candidateTable(candidates: readonly ReportCandidate[]): string {
  if (candidates.length === 0) return '';
  const rows = candidates.map((candidate): Row => {
    const texts = [
      formatShare(candidate.recallAt10),
      formatInterval(candidate.interval),
      formatShare(candidate.r10At30),
      formatShare(candidate.r10At100),
      candidate.compactDistance,
      formatNumber(candidate.multiplyAdds),
      candidate.seconds.toFixed(1),
    ];
    const { name: text, note, shipped } = candidate;
    const name = { text, ...(note === undefined ? {} : { note }), ...(shipped ? { tags: ['shipped'] } : {}) };
    return { cells: [name, ...texts.map((one) => ({ text: one }))], picked: shipped };
  });
  const table = renderTable({
    label: 'Candidates',
    columns: [
      'Candidate',
      'Recall@10',
      '95 % interval',
      'R10@30',
      'R10@100',
      'Distance',
      'Multiply-adds',
      'Seconds',
    ],
    rows,
  });
  const note =
    'Recall@10 is the share of the true ten nearest neighbours found in the first ten, R10@30 and R10@100 in the first 30 and 100: what rescoring recovers. All of it on held-out queries. Multiply-adds are what projecting one vector costs; seconds are those of fitting.';
  return `${table}\n<p class="note">${escapeHtml(note)}</p>`;
}

/** Tables of settings: the frontier's, the chosen and the current one; all others are folded away. */
export function paretoTables(rows: readonly ReportParetoRow[]): string {
  const sorted = [...rows].sort((a, b) => a.ramBytes - b.ramBytes || b.recallAt10 - a.recallAt10);
  const isFirst = (row: ReportParetoRow): boolean => row.onFrontier || row.chosen || row.kind === 'current';
  const first = sorted.filter(isFirst);
  const others = sorted.filter((row) => !isFirst(row));
  if (first.length === 0) return others.length === 0 ? '' : paretoTable('Settings', others);
  const table = paretoTable('Settings', first);
  if (others.length === 0) return table;
  const more =
    others.length === 1
      ? 'One more setting, beaten by one above'
      : `${others.length} more settings, each beaten by one above`;
  return `${table}\n<details>\n<summary>${more}</summary>\n${paretoTable('More settings', others)}\n</details>`;
}

function paretoTable(label: string, rows: readonly ReportParetoRow[]): string {
  return renderTable({
    label,
    columns: [
      'Setting',
      'RAM',
      'Recall@10',
      '95 % interval',
      'Disk',
      'Latency',
      'Dims',
      'Datatype',
      'Oversample',
    ],
    rows: rows.map((row): Row => {
      const tags = [...(row.chosen ? ['chosen'] : []), ...(row.kind === 'current' ? ['today'] : [])];
      const texts = [
        formatBytes(row.ramBytes),
        formatShare(row.recallAt10),
        formatInterval(row.interval),
        formatBytes(row.diskBytes),
        row.latencyMs === null ? '–' : formatLatency(row.latencyMs),
        formatNumber(row.dim),
        row.datatype,
        formatNumber(row.oversampling),
      ];
      return { cells: [{ text: row.label, tags }, ...texts.map((text) => ({ text }))], picked: row.chosen };
    }),
  });
}
