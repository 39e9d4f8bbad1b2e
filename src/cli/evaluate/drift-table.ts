import type { Drift } from '../../evaluate/drift.js';
import { formatNumber, formatPercent } from '../../report/format.js';
import type { ResultTable } from '../../report/result-table.js';

/** Returns the line that says how many vectors are far; none without --drift. */
export function driftLines(drift: Drift | null): string[] {
  if (drift === null) return [];
  const { of, share, interval, vectors, newBy, expectedShare, groups } = drift;
  const percent = (value: number): string => formatPercent(value, 1);
  const who =
    newBy === 'filter' ? `${formatNumber(groups[0].vectors)} new ${of}` : `${formatNumber(vectors)} ${of}`;
  return [
    `drift: ${percent(share)} (${interval.map(percent).join(' to ')}) of ${who} lie far from the sample that the encoder was fitted to; ${percent(expectedShare)} would be its own kind`,
  ];
}

/** Returns the table of new vectors apart from the others; none without --drift. */
export function driftTables(drift: Drift | null): ResultTable[] {
  if (drift === null) return [];
  const { groups, newBy, k } = drift;
  const forms = Object.keys(groups[0].recall);
  const names =
    newBy === 'filter' ? { new: 'new points', old: 'other points' } : { new: 'far (new)', old: 'near (old)' };
  return [
    {
      title: `Drift: recall@${k} of new vectors`,
      columns: [
        ['drift'],
        ['queries', 'whole'],
        ['share far', 3],
        ...forms.map((form) => [`recall@${k} ${form}`, 3] as const),
      ],
      rows: groups.map(({ name, vectors, farShare, recall }) => ({
        cells: [names[name], vectors, farShare, ...forms.map((form) => recall[form])],
      })),
      note: driftLines(drift).join(''),
      legend:
        'A vector is far if it lies farther from the projected training sample than 95 % of rows of the sample’s own kind.',
    },
  ];
}
