import { expect, test } from '@jest/globals';
import { existsSync, readFileSync } from 'node:fs';
import { grpcCases, restCases } from '../../../support/wire/stored-cases.js';

/** What the wire protocol holds for a proxy, one row for everything that it may treat in a way of its own. */
interface Row {
  readonly row: string;
  /** Transports of which stored cases stand for it. */
  readonly on?: readonly ('rest' | 'grpc')[];
  /** A test file, where no stored request can show it. */
  readonly tested?: string;
}

const rows = JSON.parse(
  readFileSync('test/adapters/qdrant/serve/protocol-rows.json', 'utf8'),
) as readonly Row[];
const cases = { rest: restCases(), grpc: grpcCases() };

test.each(rows.map((one) => [one.row, one] as const))('%s: has a case', (name, { on = [], tested }) => {
  expect(on.length > 0).toBe(tested === undefined);
  if (tested !== undefined) expect(existsSync(tested)).toBe(true);
  for (const transport of on) {
    const live = cases[transport].filter(
      ({ rows: own, notLive }) => notLive === undefined && own.includes(name),
    );
    expect({ transport, cases: live.length }).not.toEqual({ transport, cases: 0 });
  }
});

test('every case belongs to a row, and to none that is not listed', () => {
  const known = new Set(rows.map(({ row }) => row));
  for (const { file, name, rows: own } of [...cases.rest, ...cases.grpc])
    expect({ file, name, rows: own.filter((row) => known.has(row)) }).toEqual({ file, name, rows: own });
  expect([...cases.rest, ...cases.grpc].filter(({ rows: own }) => own.length === 0)).toEqual([]);
});

test('names of cases are unique within their file', () => {
  for (const all of Object.values(cases)) {
    const named = all.map(({ file, name }) => `${file}: ${name}`);
    expect(named.filter((name, i) => named.indexOf(name) !== i)).toEqual([]);
  }
});
