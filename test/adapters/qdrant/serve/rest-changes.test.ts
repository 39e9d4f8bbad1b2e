import { describe, expect, test } from '@jest/globals';
import { restChanges } from '../../../../adapters/qdrant/serve/dual-write/rest-changes.js';
import { readRestHead, type OperationHead } from '../../../../adapters/qdrant/serve/rest/read-head.js';
import { finished, type RestRequest, type RestChange } from '../../../../src/serve/protocol.js';
import { MIRRORED } from '../../../support/migrate/fixtures.js';

const ALIASES = new Map([
  ['docs alias', 'docs'],
  ['way in', 'docs_c4'],
  ['else', 'other'],
]);
const UUID = '0000abcd-0000-4000-8000-00000000000f';
const U64_MAX = 18446744073709551615n;
const changes = restChanges([MIRRORED]);

function headOf(request: string): OperationHead {
  const [method = '', url = ''] = request.split(/ (.*)/s);
  return readRestHead({ method, url, headers: {} });
}

function read(request: string, body = '', aliases = ALIASES): RestChange {
  return finished<RestChange>(changes.begin(headOf(request), Buffer.from(body), aliases));
}

function routeOf(request: string, aliases = ALIASES): string {
  const head = headOf(request);
  const route = changes.route(head, aliases);
  if (!head.changes) expect(route.kind).toBe('other');
  if (route.kind === 'refused') return String(route.refusal.status);
  return route.kind === 'answer' ? String(route.status) : route.kind;
}

/** Ids and conditions as text. */
function touched(request: string, body: string): { ids: unknown[]; filters: string[] } {
  const change = read(request, body);
  if (change.kind !== 'points') throw new Error(JSON.stringify(change));
  expect(change.collection).toBe('docs');
  expect(Buffer.from(change.request.body).toString()).toBe(body);
  const filters = change.touched.conditions.map(
    ({ form, bytes }) => `${form} ${Buffer.from(bytes).toString()}`,
  );
  return { ids: [...change.touched.ids], filters };
}

const AT = '/collections/docs/points';
const FILTER = '{"must":[{"key":"größe","match":{"value":1.0}}]}';

describe('points that a REST request changes', () => {
  test.each<[string, string, unknown[], string[]]>([
    [
      `PUT ${AT}`,
      '{"points":[{"id":1,"vector":[1]},{"id":18446744073709551615,"vector":{},"payload":{"id":7}}]}',
      [1n, U64_MAX],
      [],
    ],
    [
      `PUT ${AT}`,
      `{"points":[{"payload":{"points":[9]},"vectors":[1.5],"id":"${UUID.toUpperCase()}"}],"shard_key":"a"}`,
      [UUID],
      [],
    ],
    [`PUT ${AT}`, '{"points":[[777,[1,2],{"a":1}]]}', [777n], []],
    [
      `PUT ${AT}`,
      `{"batch":{"ids":[3,"${UUID.replaceAll('-', '')}"],"vectors":[[1],[2]],"payloads":[null,{"id":4}]}}`,
      [3n, UUID],
      [],
    ],
    [
      `PUT ${AT}`,
      `{"points":[{"id":5,"vector":[1]}],"update_filter":${FILTER},"update_mode":"update_only"}`,
      [5n],
      [],
    ],
    [`POST ${AT}/delete`, '{"points":[1, 9007199254740993 ,3]}', [1n, 9007199254740993n, 3n], []],
    [`POST ${AT}/delete`, `{"points":["urn:uuid:${UUID}","{${UUID}}",4]}`, [UUID, 4n], []],
    [`POST ${AT}/delete`, '{"points":[5,4,5,5,4]}', [5n, 4n], []],
    [`POST ${AT}/delete`, `{"filter":${FILTER}}`, [], [`json ${FILTER}`]],
    [`POST ${AT}/delete`, '{"filter":{}}', [], ['json {}']],
    [`POST ${AT}/delete`, `{"points":[1],"filter":${FILTER}}`, [1n], [`json ${FILTER}`]],
    [`POST ${AT}/payload`, '{"payload":{"points":[2]},"points":[1],"filter":null,"key":"a.b"}', [1n], []],
    [`PUT ${AT}/payload`, `{"filter": ${FILTER} ,"payload":{}}`, [], [`json ${FILTER}`]],
    [`POST ${AT}/payload/delete`, '{"keys":["a"],"points":[1,2]}', [1n, 2n], []],
    [`POST ${AT}/payload/clear`, '{"points":[8]}', [8n], []],
    [
      `PUT ${AT}/vectors`,
      `{"points":[{"id":1,"vector":[1]},[2,[5]]],"update_filter":${FILTER}}`,
      [1n, 2n],
      [],
    ],
    [`POST ${AT}/vectors/delete`, `{"points":[1],"vector":["v"]}`, [1n], []],
    [`POST ${AT}/vectors/delete`, `{"filter":${FILTER},"vectors":["v"]}`, [], [`json ${FILTER}`]],
    [
      `POST ${AT}/batch`,
      `{"operations":[{"upsert":{"points":[{"id":1,"vector":[1]}]}},{"upsert":{"batch":{"ids":[2],"vectors":[[1]]}}},
        {"delete":{"points":[3]}},{"delete":{"filter":${FILTER}}},{"set_payload":{"payload":{},"points":[4]}},
        {"overwrite_payload":{"payload":{},"filter":{}}},{"delete_payload":{"keys":[],"points":[5]}},
        {"clear_payload":{"points":[6]}},{"update_vectors":{"points":[{"id":7,"vector":{}}]}},
        {"delete_vectors":{"points":[8],"vector":[""]}}]}`,
      [1n, 2n, 3n, 4n, 5n, 6n, 7n, 8n],
      [`json ${FILTER}`, 'json {}'],
    ],
  ])('%s %s', (request, body, ids, filters) => {
    expect(touched(request, body)).toEqual({ ids, filters });
  });

  test.each([
    [`POST ${AT}/delete`, '[[1,2]]'],
    [`POST ${AT}/delete`, '{"points":[1.0]}'],
    [`POST ${AT}/delete`, '{"points":[-1]}'],
    [`POST ${AT}/delete`, '{"points":[18446744073709551616]}'],
    [`POST ${AT}/delete`, '{"points":["12"]}'],
    [`POST ${AT}/delete`, '{"points":[1],"points":[2]}'],
    [`POST ${AT}/delete`, '{"points":{"ids":[1]}}'],
    [`POST ${AT}/delete`, '{"points":[1]'],
    [`POST ${AT}/payload`, '[{"a":1},[1],null,null,null]'],
    [`PUT ${AT}`, '{"points":[{"vector":[1]}]}'],
    [`PUT ${AT}`, '[[1]]'],
    [`POST ${AT}/batch`, '{"operations":[{"move":{"points":[1]}}]}'],
    [`POST ${AT}/batch`, '{"operations":[{"delete":{"points":[1]},"upsert":{"points":[]}}]}'],
    [`POST ${AT}/batch`, '{"operations":["delete"]}'],
  ])('%s %s is refused', (request, body) => {
    expect(read(request, body)).toMatchObject({ kind: 'answer', status: 400 });
  });

  test.each([
    [`PUT ${AT}`, AT],
    [`PUT ${AT}?wait=false&ordering=strong`, `${AT}?wait=false&ordering=strong`],
    [`PUT ${AT}?wait=maybe&&%77ait=false`, `${AT}?wait=maybe&&%77ait=false`],
    ['PUT //collections/docs%20alias/points/?wait=true', `${AT}?wait=true`],
  ])('%s goes to %s', (request, url) => {
    expect(read(request, '{"points":[]}')).toMatchObject({ kind: 'points', request: { method: 'PUT', url } });
  });
});

describe('what the server is asked before a body is read', () => {
  const asked = (request: string): unknown => {
    const route = changes.route(headOf(request), ALIASES);
    const said = ({ url: at, body, method: by }: RestRequest): string =>
      `${by} ${at} ${Buffer.from(body).toString()}`;
    if (route.kind === 'refused') return ['refused', said(route.permission)];
    if (route.kind !== 'read' || route.permission === null) return route.kind;
    const { own, alias } = route.permission;
    return [said(own), alias && said(alias)];
  };

  test.each<[string, unknown]>([
    [`PUT ${AT}?wait=true`, [`PUT ${AT}?wait=true {"points":[]}`, null]],
    [
      'POST /collections/docs%20alias/points/batch',
      [
        `POST ${AT}/batch {"operations":[{"delete":{"points":[]}}]}`,
        'POST /collections/docs%20alias/points/batch {"operations":[{"delete":{"points":[]}}]}',
      ],
    ],
    ['PUT /collections/docs/index', 'read'],
    ['PUT /collections/else/points', 'read'],
    ['POST /collections/aliases', ['POST /collections/aliases {"actions":[]}', null]],
    ['PUT /collections/docs_c4/points', ['refused', 'PUT /collections/docs_c4/points {"points":[]}']],
    ['DELETE /collections/way%20in/index/a', ['refused', 'PUT /collections/way%20in/points {"points":[]}']],
    ['PATCH /collections/docs', ['refused', 'POST /collections/aliases {"actions":[]}']],
    ['PUT /collections/docs_c4', ['refused', 'POST /collections/aliases {"actions":[]}']],
  ])('%s', (request, requests) => {
    expect(asked(request)).toEqual(requests);
  });
});

describe('other REST requests', () => {
  test('payload indexes are changed on both sides', () => {
    const body = '{"field_name":"a","field_schema":"keyword"}';
    expect(read('PUT /collections/docs%20alias/index?wait=false', body)).toMatchObject({
      kind: 'settings',
      source: { method: 'PUT', url: '/collections/docs/index?wait=false' },
      named: {
        alias: 'docs alias',
        collection: 'docs',
        request: { url: '/collections/docs%20alias/index?wait=false' },
      },
      target: { method: 'PUT', url: '/collections/docs_c4/index?wait=false' },
    });
    expect(read('DELETE /collections/docs/index/a%2Fb')).toMatchObject({
      kind: 'settings',
      source: { method: 'DELETE', url: '/collections/docs/index/a%2Fb' },
      target: { method: 'DELETE', url: '/collections/docs_c4/index/a%2Fb' },
    });
  });

  test.each([
    'PATCH /collections/docs',
    'DELETE /collections/docs',
    'PUT /collections/docs/vectors/v',
    'DELETE /collections/docs/vectors/v',
    'PUT /collections/docs/shards',
    'POST /collections/docs/shards/delete',
    'POST /collections/docs/cluster',
    'PUT /collections/docs/snapshots/recover',
    'POST /collections/docs/snapshots/upload',
    'PUT /collections/docs_c4',
    'PUT /collections/docs_c4/points',
    'DELETE /collections/docs_c4',
    'PUT /collections/way%20in/points',
    'PATCH /collections/way%20in',
    'DELETE /collections/docs%20alias',
  ])('%s is refused', (request) => {
    expect(routeOf(request)).toBe('400');
  });

  test.each(['POST /collections/docs/points/new', 'BREW /collections/docs'])('%s is none', (request) => {
    expect(routeOf(request)).toBe('404');
  });

  test.each([
    'GET /collections/docs',
    'HEAD /collections/docs',
    'GET /collections',
    'GET /',
    'PUT /collections/docs',
    'POST /collections/docs/points',
    'POST /collections/docs/points/scroll',
    'POST /collections/docs/facet',
    'POST /collections/docs/points/query/batch',
    'POST /collections/docs/points/search',
    'POST /collections/docs/points/count',
    'POST /collections/docs/shards/0/points/count',
    'POST /collections/docs/snapshots',
    'DELETE /collections/docs/snapshots/x',
    'GET /collections/docs_c4',
    'DELETE /collections/other',
    'POST /collections/docs_c4/points/query',
  ])('%s is not concerned', (request) => {
    expect(routeOf(request)).toBe('other');
  });

  test('a name means what the aliases say for this request', () => {
    const write = 'POST /collections/else/points/delete';
    expect(read(`${write}?wait=false`, '{"points":[1]}')).toMatchObject({
      kind: 'elsewhere',
      request: { url: '/collections/other/points/delete?wait=false' },
      named: {
        alias: 'else',
        collection: 'other',
        request: { url: `/collections/else/points/delete?wait=false` },
      },
    });
    expect(routeOf(write, new Map())).toBe('unnamed');
    expect(routeOf(write, new Map([['else', 'docs']]))).toBe('read');
    expect(routeOf(write, new Map([['else', 'docs_c4']]))).toBe('400');
    expect(routeOf('POST /collections/docs%20alias/points/delete', new Map())).toBe('unnamed');
    expect(routeOf('PATCH /collections/docs%20alias', new Map())).toBe('other');
    // An alias of the source's own name hides it.
    expect(routeOf(`PUT ${AT}`, new Map([['docs', 'docs_c4']]))).toBe('400');
    expect(routeOf(`PUT ${AT}`, new Map([['docs', 'other']]))).toBe('400');
    expect(routeOf(write, new Map([...ALIASES, ['else', 'docs'], ['docs', 'other']]))).toBe('400');
  });

  test('a configured alias that no longer leads to the source is refused', () => {
    const configured = restChanges([{ ...MIRRORED, name: 'live' }]);
    const kindOf = (to: string | null): string =>
      configured.route(headOf('PUT /collections/live/points'), new Map(to === null ? [] : [['live', to]]))
        .kind;
    expect(kindOf('docs')).toBe('read');
    for (const to of ['docs_c4', 'other', null]) expect(kindOf(to)).toBe('refused');
  });

  test('aliases of either side cannot be changed, others can', () => {
    const change = (collection: string, alias: string): string =>
      `{"actions":[{"create_alias":{"collection_name":"${collection}","alias_name":"${alias}"}}]}`;
    const kindOf = (body: string): string => read('POST /collections/aliases', body).kind;
    expect(routeOf('POST /collections/aliases')).toBe('read');
    expect(kindOf(change('other', 'one'))).toBe('other');
    for (const name of ['docs', 'docs alias', 'docs_c4', 'way in']) {
      expect(kindOf(change(name, 'one'))).toBe('answer');
      expect(kindOf(change('other', name))).toBe('answer');
    }
  });

  test('an answer says that all is applied, or logged, only where every part does', () => {
    const outcome = (status: number, result: string): string =>
      changes.outcomeOf(status, Buffer.from(`{"result":${result},"status":"ok","time":0.1}`));
    expect(outcome(200, '{"operation_id":1,"status":"completed"}')).toBe('applied');
    expect(outcome(200, '[{"status":"completed"},{"status":"completed"}]')).toBe('applied');
    expect(outcome(200, '{"operation_id":1,"status":"acknowledged"}')).toBe('logged');
    expect(outcome(200, '[{"status":"completed"},{"status":"acknowledged"}]')).toBe('logged');
    expect(outcome(200, '[{"status":"completed"},{"status":"wait_timeout"}]')).toBe('unknown');
    expect(outcome(200, '[{"status":"acknowledged"},{"status":"wait_timeout"}]')).toBe('unknown');
    expect(outcome(200, '{"operation_id":1,"status":"toString"}')).toBe('unknown');
    expect(outcome(200, '{"operation_id":1}')).toBe('unknown');
    expect(outcome(200, '[]')).toBe('unknown');
    expect(outcome(200, 'null')).toBe('unknown');
    expect(changes.outcomeOf(200, Buffer.from('{"status":"ok"}'))).toBe('unknown');
    expect(outcome(400, '{"status":"completed"}')).toBe('unknown');
    expect(changes.outcomeOf(200, Buffer.from('no json'))).toBe('unknown');
  });
});
