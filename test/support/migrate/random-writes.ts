import type { JsonValue } from '@bufbuild/protobuf';
import { Rng } from '../../../src/core/rng.js';
import { encodeRequest, pathOf } from '../wire/grpc-schemas.js';
import { DIM, idAt } from './fixtures.js';

/** A write as it goes over the wire. */
export type RandomWrite =
  | { readonly transport: 'rest'; readonly method: string; readonly path: string; readonly body: string }
  | { readonly transport: 'grpc'; readonly path: string; readonly message: Uint8Array };

const GROUPS = 25;
/** Numbers that a double, or a signed integer, would change. */
const NUMBERS = [
  '1.0',
  '-0.5',
  '3',
  '-0.0',
  '0.1',
  '1e300',
  '942.3225445592973',
  '123456789012345678901234567890',
  '9007199254740993',
  '9223372036854775807',
  '9223372036854775808',
  '12345678901234567890',
  '18446744073709551614',
  '18446744073709551615',
  '-9223372036854775808',
  '1e19',
];
/** Nested deeper than gRPC takes them. */
const DEEP = [nested(34, '{"a":', '}'), nested(80, '{"a":', '}'), nested(34, '[', ']'), nested(80, '[', ']')];

/** Writes of every kind, over REST and gRPC, to points of a few hundred ids; a seed gives the same ones again. */
export class RandomWrites {
  readonly #rng: Rng;
  readonly #ids: number;

  constructor(seed: number, ids: number) {
    this.#rng = new Rng(seed);
    this.#ids = ids;
  }

  next(collection: string): RandomWrite {
    return this.#rng.uniform() < 0.5 ? this.#rest(collection) : this.#grpc(collection);
  }

  #pick<T>(list: readonly T[]): T {
    return list[this.#rng.int(list.length)]!;
  }

  #someIds(): (bigint | string)[] {
    return Array.from({ length: 1 + this.#rng.int(4) }, () => idAt(this.#rng.int(this.#ids)));
  }

  #vector(): number[] {
    return Array.from({ length: DIM }, () => Number(this.#rng.normal().toFixed(4)));
  }

  #rest(collection: string): RandomWrite {
    const query = this.#pick([
      '',
      '?wait=true',
      '?wait=false',
      '?ordering=strong',
      '?wait=true&ordering=medium',
    ]);
    const to = (method: string, below: string, body: string): RandomWrite => ({
      transport: 'rest',
      method,
      body,
      path: `/collections/${collection}/points${below}${query}`,
    });
    const [kind, body] = this.#restOperation();
    switch (kind) {
      case 'upsert':
        return to('PUT', '', body);
      case 'delete':
        return to('POST', '/delete', body);
      case 'set_payload':
        return to('POST', '/payload', body);
      case 'overwrite_payload':
        return to('PUT', '/payload', body);
      case 'delete_payload':
        return to('POST', '/payload/delete', body);
      case 'clear_payload':
        return to('POST', '/payload/clear', body);
      case 'update_vectors':
        return to('PUT', '/vectors', body);
      case 'delete_vectors':
        return to('POST', '/vectors/delete', body);
      default: {
        const operations = Array.from({ length: 1 + this.#rng.int(3) }, () => this.#restOperation(false));
        const texts = operations.map(([name, inner]) => `{"${name}":${inner}}`);
        return to('POST', '/batch', `{"operations":[${texts.join()}]}`);
      }
    }
  }

  #payload(): string {
    const [group, f, g] = [this.#rng.int(GROUPS), this.#pick(NUMBERS), this.#pick(NUMBERS)];
    const deep = this.#rng.uniform() < 0.2 ? `,"deep":${this.#pick(DEEP)}` : '';
    const any = 9_223_372_036_854_775_808n + BigInt(this.#rng.int(2 ** 31)) * 4_294_967_291n;
    return `{"group":${group},"f":${f},"big":9007199254740993,"in":[{"g":${g},"any":${any}}]${deep}}`;
  }

  #restOperation(withBatch = true): [string, string] {
    const kind = this.#pick([
      'upsert',
      'upsert',
      'upsert',
      'delete',
      'set_payload',
      'overwrite_payload',
      'delete_payload',
      'clear_payload',
      'update_vectors',
      'delete_vectors',
      ...(withBatch ? ['batch'] : []),
    ]);
    const ids = this.#someIds();
    const list = ids.map(restId).join();
    const payload = this.#payload();
    const where =
      this.#rng.uniform() < 0.7
        ? `"points":[${list}]`
        : `"filter":{"must":[{"key":"group","match":{"value":${this.#rng.int(GROUPS)}}}]}`;
    switch (kind) {
      case 'upsert': {
        if (this.#rng.uniform() < 0.3) {
          const [vectors, payloads] = [ids.map(() => this.#vector()), ids.map(() => payload)];
          return [
            kind,
            `{"batch":{"ids":[${list}],"vectors":${JSON.stringify(vectors)},"payloads":[${payloads.join()}]}}`,
          ];
        }
        const vector = (): string => (this.#rng.uniform() < 0.1 ? '{}' : `[${this.#vector().join()}]`);
        const points = ids.map((id) => `{"id":${restId(id)},"vector":${vector()},"payload":${payload}}`);
        return [kind, `{"points":[${points.join()}]}`];
      }
      case 'set_payload':
        return [kind, `{"payload":${payload},${where}${this.#pick(['', ',"key":"nested"'])}}`];
      case 'overwrite_payload':
        return [kind, `{"payload":${payload},${where}}`];
      case 'delete_payload':
        return [kind, `{"keys":["f","nested.f"],${where}}`];
      case 'update_vectors':
        return [
          kind,
          `{"points":[${ids.map((id) => `{"id":${restId(id)},"vector":[${this.#vector().join()}]}`).join()}]}`,
        ];
      case 'delete_vectors':
        return [kind, `{${where},"vector":[""]}`];
      default:
        return [kind, `{${where}}`];
    }
  }

  #grpc(collection: string): RandomWrite {
    const call = (method: string, json: Record<string, JsonValue>): RandomWrite => {
      const wait = this.#rng.uniform() < 0.5 ? { wait: this.#rng.uniform() < 0.5 } : {};
      const message = encodeRequest(`Points/${method}`, { ...json, collectionName: collection, ...wait });
      return { transport: 'grpc', path: pathOf(`Points/${method}`), message };
    };
    const ids = this.#someIds();
    const selector: JsonValue =
      this.#rng.uniform() < 0.7
        ? { points: { ids: ids.map(grpcId) } }
        : {
            filter: {
              must: [{ field: { key: 'group', match: { integer: String(this.#rng.int(GROUPS)) } } }],
            },
          };
    const payload: JsonValue = {
      group: { integerValue: String(this.#rng.int(GROUPS)) },
      deep: { structValue: { fields: { d: { doubleValue: this.#pick([2, -0, 1e19, 942.3225445592973]) } } } },
    };
    const points: JsonValue = ids.map((id) => ({
      id: grpcId(id),
      payload,
      vectors: { vector: { dense: { data: this.#vector() } } },
    }));
    const vectors: JsonValue = ids.map((id) => ({
      id: grpcId(id),
      vectors: { vector: { data: this.#vector() } },
    }));
    switch (this.#rng.int(9)) {
      case 0:
        return call('Upsert', { points });
      case 1:
        return call('Delete', { points: selector });
      case 2:
        return call('UpdateVectors', { points: vectors });
      case 3:
        return call('DeleteVectors', { pointsSelector: selector, vectors: { names: [''] } });
      case 4:
        return call('SetPayload', { payload, pointsSelector: selector });
      case 5:
        return call('OverwritePayload', { payload, pointsSelector: selector });
      case 6:
        return call('DeletePayload', { keys: ['f'], pointsSelector: selector });
      case 7:
        return call('ClearPayload', { points: selector });
      default:
        return call('UpdateBatch', {
          operations: [
            { upsert: { points } },
            this.#pick<JsonValue>([
              { deletePoints: { points: selector } },
              { clearPayload: { points: selector } },
            ]),
            this.#pick<JsonValue>([
              { setPayload: { payload, pointsSelector: selector } },
              { updateVectors: { points: vectors } },
              { deleteVectors: { pointsSelector: selector, vectors: { names: [''] } } },
            ]),
          ],
        });
    }
  }
}

function nested(depth: number, open: string, close: string): string {
  return `${open.repeat(depth)}18446744073709551615${close.repeat(depth)}`;
}

function restId(id: bigint | string): string {
  return typeof id === 'bigint' ? String(id) : `"${id}"`;
}

function grpcId(id: bigint | string): JsonValue {
  return typeof id === 'bigint' ? { num: String(id) } : { uuid: id };
}
