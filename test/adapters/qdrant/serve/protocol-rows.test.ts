import { expect, test } from '@jest/globals';
import { existsSync, readFileSync } from 'node:fs';
import {
  API_OPERATIONS,
  grpcOperation,
  restOperation,
} from '../../../../adapters/qdrant/serve/operations.js';
import { parsePath } from '../../../../adapters/qdrant/serve/rest/parse-address.js';
import { pathOf } from '../../../support/wire/grpc-schemas.js';
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

test('every operation of the API has a case on each transport that has it', () => {
  const known = new Set([
    ...cases.rest.map(({ request }) => {
      const [method = '', url = ''] = request.split(/ (.*)/s);
      return restOperation(method, parsePath(url).segments).rest;
    }),
    ...cases.grpc.map(({ method }) => grpcOperation(pathOf(method)).grpc),
  ]);
  const addressed = API_OPERATIONS.filter(({ kind }) => kind !== 'pass');
  const missing = addressed.flatMap(({ rest, grpc }) => [rest, grpc]).filter((one) => !known.has(one));
  expect(missing.filter((one) => one !== null)).toEqual([]);
});

test('names of cases are unique within their file', () => {
  for (const all of Object.values(cases)) {
    const named = all.map(({ file, name }) => `${file}: ${name}`);
    expect(named.filter((name, i) => named.indexOf(name) !== i)).toEqual([]);
  }
});
