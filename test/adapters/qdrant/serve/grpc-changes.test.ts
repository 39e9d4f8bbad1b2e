import { describe, expect, test } from '@jest/globals';
import type { JsonValue } from '@bufbuild/protobuf';
import { grpcChanges } from '../../../../adapters/qdrant/serve/dual-write/grpc-changes.js';
import {
  decodeRequest,
  encodeAnswer,
  encodeRequest,
  METHOD_NAMES,
  pathOf,
} from '../../../support/wire/grpc-schemas.js';
import { finished, type GrpcCall, type GrpcChange } from '../../../../src/serve/protocol.js';
import { MIRRORED } from '../../../support/migrate/fixtures.js';

const ALIASES = new Map([
  ['alias', 'docs'],
  ['way in', 'docs_c4'],
  ['else', 'other'],
]);
const UUID = '0000abcd-0000-4000-8000-00000000000f';
const changes = grpcChanges([MIRRORED]);

function read(method: string, json: JsonValue): GrpcChange {
  return finished<GrpcChange>(changes.begin(pathOf(method), encodeRequest(method, json), ALIASES));
}

const IDS = {
  points: { ids: [{ num: '1' }, { num: '18446744073709551615' }, { uuid: UUID.toUpperCase() }] },
};
const ALL_IDS = [1n, 18446744073709551615n, UUID];
const FILTER = { filter: { must: [{ field: { key: 'a', match: { integer: '1' } } }] } };
const POINTS = [{ id: { num: '7' }, vectors: { vector: { data: [1] } } }, { id: { uuid: UUID } }];

describe('points that a gRPC call changes', () => {
  test.each<[string, JsonValue, unknown[], number]>([
    ['Points/Upsert', { points: POINTS, updateFilter: FILTER.filter }, [7n, UUID], 0],
    ['Points/Delete', { points: IDS }, ALL_IDS, 0],
    [
      'Points/Delete',
      { points: { points: { ids: [{ num: '5' }, { num: '4' }, { num: '5' }] } } },
      [5n, 4n],
      0,
    ],
    ['Points/Delete', { points: FILTER }, [], 1],
    ['Points/Delete', { points: { filter: {} } }, [], 1],
    ['Points/UpdateVectors', { points: POINTS }, [7n, UUID], 0],
    ['Points/DeleteVectors', { pointsSelector: IDS, vectors: { names: ['v'] } }, ALL_IDS, 0],
    ['Points/SetPayload', { payload: { a: { integerValue: '1' } }, pointsSelector: IDS }, ALL_IDS, 0],
    ['Points/OverwritePayload', { pointsSelector: FILTER }, [], 1],
    ['Points/DeletePayload', { keys: ['a'], pointsSelector: FILTER }, [], 1],
    ['Points/ClearPayload', { points: IDS }, ALL_IDS, 0],
    [
      'Points/UpdateBatch',
      {
        operations: [
          { upsert: { points: [{ id: { num: '1' } }] } },
          { deleteDeprecated: { points: { ids: [{ num: '2' }] } } },
          { setPayload: { pointsSelector: { points: { ids: [{ num: '3' }] } } } },
          { overwritePayload: { pointsSelector: FILTER } },
          { deletePayload: { pointsSelector: { points: { ids: [{ num: '5' }] } } } },
          { clearPayloadDeprecated: { points: { ids: [{ num: '6' }] } } },
          { updateVectors: { points: [{ id: { num: '7' } }] } },
          { deleteVectors: { pointsSelector: { points: { ids: [{ num: '8' }] } } } },
          { deletePoints: { points: { points: { ids: [{ num: '9' }] } } } },
          { clearPayload: { points: FILTER } },
        ],
      },
      [1n, 2n, 3n, 5n, 6n, 7n, 8n, 9n],
      2,
    ],
  ])('%s %j', (method, json, ids, conditions) => {
    const request = {
      ...(json as object),
      collectionName: 'alias',
      wait: false,
      ordering: { type: 'Strong' },
    };
    expect(changes.isChange(pathOf(method))).toBe(true);
    const change = read(method, request);
    if (change.kind !== 'points') throw new Error(JSON.stringify(change));
    expect(change.collection).toBe('docs');
    expect(change.touched.ids).toEqual(ids);
    expect(change.touched.conditions.map(({ form }) => form)).toEqual(Array(conditions).fill('message'));
    for (const { bytes } of change.touched.conditions)
      if (bytes.length > 0)
        expect(
          decodeRequest('Points/Count', Buffer.concat([Buffer.from([0x12, bytes.length]), bytes])),
        ).toEqual(FILTER);
    const sent = decodeRequest(method, change.request.message);
    const asSent = (collectionName: string): unknown =>
      decodeRequest(method, encodeRequest(method, { ...request, collectionName }));
    expect(sent).toEqual(asSent('docs'));
    expect(change.named).toMatchObject({ alias: 'alias', collection: 'docs' });
    expect(decodeRequest(method, change.named?.request.message ?? Buffer.alloc(0))).toEqual(asSent('alias'));
  });

  test('what cannot be read is refused', () => {
    const batch = (operation: Buffer): GrpcChange =>
      finished<GrpcChange>(
        changes.begin(
          pathOf('Points/UpdateBatch'),
          Buffer.concat([Buffer.from('\n\x04docs'), Buffer.from([0x1a, operation.length]), operation]),
          ALIASES,
        ),
      );
    // An operation of a field to come, two in one, and one that is no message.
    for (const operation of [Buffer.from([0x5a, 0]), Buffer.from([0x4a, 0, 0x52, 0]), Buffer.from([0x48, 1])])
      expect(batch(operation)).toMatchObject({ kind: 'status', code: 3 });
    expect(
      read('Points/Delete', { collectionName: 'docs', points: { points: { ids: [{ uuid: 'x' }] } } }),
    ).toMatchObject({ kind: 'status', code: 3 });
    expect(read('Points/Upsert', { collectionName: 'docs', points: [{}] })).toMatchObject({ kind: 'status' });
    const twice = encodeRequest('Points/Delete', { points: IDS });
    const path = pathOf('Points/Delete');
    expect(
      finished<GrpcChange>(
        changes.begin(path, Buffer.concat([Buffer.from('\n\x04docs'), twice, twice]), ALIASES),
      ),
    ).toMatchObject({
      kind: 'status',
      code: 3,
    });
  });
});

describe('what the server is asked before a message is looked into', () => {
  const asked = (method: string, bytes: Uint8Array): unknown => {
    const route = changes.route(pathOf(method), bytes, ALIASES);
    const nameIn = ({ path, message }: GrpcCall): string => `${path} ${Buffer.from(message).toString()}`;
    if (route.kind === 'refused') return ['refused', nameIn(route.permission)];
    if (route.kind !== 'read' || route.permission === null) return route.kind;
    const { own, alias } = route.permission;
    return [nameIn(own), alias && nameIn(alias)];
  };
  const named = (name: string): Buffer =>
    Buffer.concat([Buffer.from([0x0a, name.length]), Buffer.from(name)]);
  /** A field that a message broke off in, and fields before the name. */
  const broken = Buffer.from([0x1a, 0x7f]);
  const before = Buffer.from([0x10, 1, 0x1b, 0x0a, 1, 0x61, 0x1c, 0x25, 0, 0, 0, 0]);

  test.each<[string, Buffer, unknown]>([
    [
      'Points/Upsert',
      Buffer.concat([before, named('docs'), broken]),
      ['/qdrant.Points/Upsert \n\x04docs', null],
    ],
    [
      'Points/Upsert',
      Buffer.concat([named('alias'), broken]),
      ['/qdrant.Points/Upsert \n\x04docs', '/qdrant.Points/Upsert \n\x05alias'],
    ],
    [
      'Points/Upsert',
      Buffer.concat([Buffer.alloc(4000, Buffer.from([0x1a, 0])), named('docs')]),
      ['/qdrant.Collections/UpdateAliases ', null],
    ],
    ['Points/CreateFieldIndex', named('docs'), 'read'],
    ['Points/Upsert', named('else'), 'read'],
    ['Points/Upsert', named('other'), 'unnamed'],
    ['Points/Upsert', broken, 'status'],
    ['Collections/UpdateAliases', broken, ['/qdrant.Collections/UpdateAliases ', null]],
    ['Points/Upsert', named('docs_c4'), ['refused', '/qdrant.Points/Upsert \n\x07docs_c4']],
    ['Points/DeleteFieldIndex', named('way in'), ['refused', '/qdrant.Points/Upsert \n\x06way in']],
    ['Collections/Update', named('docs'), ['refused', '/qdrant.Collections/UpdateAliases ']],
    ['Collections/Create', named('docs_c4'), ['refused', '/qdrant.Collections/UpdateAliases ']],
  ])('%s %j', (method, bytes, calls) => {
    expect(asked(method, bytes)).toEqual(calls);
  });
});

describe('other gRPC calls', () => {
  test('payload indexes are changed on both sides', () => {
    const change = read('Points/CreateFieldIndex', { collectionName: 'docs', fieldName: 'a' });
    if (change.kind !== 'settings') throw new Error(change.kind);
    const sent = [change.source, change.target].map(({ message }) =>
      decodeRequest('Points/CreateFieldIndex', message),
    );
    expect(sent).toEqual([
      { collectionName: 'docs', fieldName: 'a' },
      { collectionName: 'docs_c4', fieldName: 'a' },
    ]);
  });

  test('a method is refused, followed or not concerned', () => {
    const kinds = METHOD_NAMES.map((method): [string, string] => {
      if (!changes.isChange(pathOf(method))) return [method, 'other'];
      const json: JsonValue = method === 'Collections/UpdateAliases' ? {} : { collectionName: 'docs' };
      return [method, read(method, json).kind];
    });
    const of = (kind: string): string[] => kinds.filter(([, one]) => one === kind).map(([method]) => method);
    expect(of('status')).toEqual([
      'Points/CreateVectorName',
      'Points/DeleteVectorName',
      'Collections/Update',
      'Collections/Delete',
      'Collections/UpdateCollectionClusterSetup',
      'Collections/CreateShardKey',
      'Collections/DeleteShardKey',
    ]);
    expect(of('settings')).toEqual(['Points/CreateFieldIndex', 'Points/DeleteFieldIndex']);
    expect(of('points')).toHaveLength(9);
  });

  test('other collections are not concerned, the target is refused, unknown methods that name either too', () => {
    expect(read('Points/Delete', { collectionName: 'other', points: IDS }).kind).toBe('unnamed');
    expect(read('Points/CreateFieldIndex', { collectionName: 'other' }).kind).toBe('other');
    expect(read('Collections/Create', { collectionName: 'other' }).kind).toBe('other');
    expect(read('Collections/Create', { collectionName: 'docs_c4' })).toMatchObject({
      kind: 'status',
      code: 3,
    });
    expect(read('Points/Delete', { collectionName: 'docs_c4', points: IDS })).toMatchObject({
      kind: 'status',
      code: 3,
    });
    const unknown = '/qdrant.Points/Teleport';
    expect(changes.isChange(unknown)).toBe(true);
    const kindOf = (collectionName: string): string =>
      finished<GrpcChange>(changes.begin(unknown, encodeRequest('Points/Count', { collectionName }), ALIASES))
        .kind;
    for (const name of ['docs', 'docs_c4', 'alias', 'way in']) expect(kindOf(name)).toBe('status');
    for (const name of ['other', 'else']) expect(kindOf(name)).toBe('other');
  });

  test('a name means what the aliases say for this call', () => {
    const kindOf = (collectionName: string, aliases: ReadonlyMap<string, string>): string =>
      finished<GrpcChange>(
        changes.begin(
          pathOf('Points/Delete'),
          encodeRequest('Points/Delete', { collectionName, points: IDS }),
          aliases,
        ),
      ).kind;
    expect(kindOf('alias', new Map())).toBe('unnamed');
    expect(kindOf('alias', new Map([['alias', 'other']]))).toBe('elsewhere');
    expect(kindOf('else', new Map([['else', 'docs']]))).toBe('points');
    expect(kindOf('way in', ALIASES)).toBe('status');
    // An alias of the source's own name hides it.
    expect(kindOf('docs', new Map([['docs', 'docs_c4']]))).toBe('status');
    expect(kindOf('docs', new Map([['docs', 'other']]))).toBe('status');
    expect(kindOf('alias', new Map([...ALIASES, ['docs', 'other']]))).toBe('status');
  });

  test('aliases of either side cannot be changed, others can', () => {
    const kindOf = (collectionName: string, aliasName: string): string =>
      read('Collections/UpdateAliases', { actions: [{ createAlias: { collectionName, aliasName } }] }).kind;
    expect(kindOf('other', 'one')).toBe('other');
    for (const name of ['docs', 'alias', 'docs_c4', 'way in']) {
      expect(kindOf(name, 'one')).toBe('status');
      expect(kindOf('other', name)).toBe('status');
    }
  });

  test('an answer says that all is applied, or logged, only where every part does', () => {
    const one = (status: string): string =>
      changes.outcomeOf(encodeAnswer('Points/Upsert', { result: { operationId: '1', status } }));
    const many = (...all: string[]): string =>
      changes.outcomeOf(encodeAnswer('Points/UpdateBatch', { result: all.map((status) => ({ status })) }));
    expect(one('Completed')).toBe('applied');
    expect(one('Acknowledged')).toBe('logged');
    expect(many('Completed', 'Completed')).toBe('applied');
    expect(many('Completed', 'Acknowledged')).toBe('logged');
    expect(many('Acknowledged', 'WaitTimeout')).toBe('unknown');
    expect(changes.outcomeOf(encodeAnswer('Points/Upsert', {}))).toBe('unknown');
    expect(changes.outcomeOf(Buffer.from([0x0a, 9]))).toBe('unknown');
  });
});
