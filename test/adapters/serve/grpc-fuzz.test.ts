import {
  fromBinary,
  ScalarType,
  toJson,
  type DescField,
  type DescMessage,
  type JsonObject,
  type JsonValue,
} from '@bufbuild/protobuf';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { grpcRewriter } from '../../../adapters/qdrant/serve/grpc-rewriter.js';
import { matrix } from '../../../src/core/matrix.js';
import type { Layout } from '../../../src/core/vector-store.js';
import type { GrpcRewrite, GrpcRewriter } from '../../../src/core/wire.js';
import { fixtureCollections, INPUT_DIM, OUTPUT_DIM } from './collections-fixture.js';
import { encodeRequest, METHOD_NAMES, pathOf, requestSchema } from './grpc-schemas.js';
import { denseVectors } from './grpc-vectors-found.js';

/** Every compact value; the generated ones are positive. */
const PROJECTED = -7;
const RUNS = 2_000;
const DEPTH_MAX = 7;

function markingRewriter(layout: Layout): GrpcRewriter {
  const project = ({ rows }: { readonly rows: number }) => {
    const y = matrix(rows, OUTPUT_DIM);
    y.data.fill(PROJECTED);
    return y;
  };
  const vectorAnswers = 'compact';
  return grpcRewriter(
    fixtureCollections(layout).map((served) => ({
      ...served,
      vectorAnswers,
      projector: { ...served.projector, project, projectQueries: project },
    })),
  );
}

const rewriters = { 'two-stage': markingRewriter('two-stage'), compact: markingRewriter('compact') };

/** Messages without vectors, and without an end. */
const LEFT_OUT = [
  'Filter',
  'Formula',
  'Value',
  'Struct',
  'Timestamp',
  'ShardKeySelector',
  'ReadConsistency',
  'OrderBy',
];
/** Mostly what leads deep into a rewrite; each of these now and then leads out of it again. */
const COLLECTIONS = [
  'docs',
  'docs',
  'docs',
  'named',
  'named',
  'named-alias',
  'foreign',
  'elsewhere',
  'docs_t',
  '',
];
const VECTORS = ['', '', '', '', 'v', 'v', 'v', 'v', 'other', 'words', 'compact'];
const OFTEN =
  /^(points|query|target|single|positive|negative|vectors?|operations|upsert|data|(search|query|recommend|discover)_points)$/;

type Choose = fc.GeneratorValue;

/** One of so many, or none: seldom the last. */
function oneOf(g: Choose, count: number): number {
  return g(fc.nat, { max: 9 }) === 0 ? count : g(fc.nat, { max: count - 1 });
}

/** A message of any form that the description allows, names and sizes mostly right. */
function anyMessage(g: Choose, schema: DescMessage, depth = 0): JsonObject {
  const json: JsonObject = {};
  const chosen = schema.oneofs.map((oneof) => {
    const dense = oneof.fields.find(({ name }) => name === 'dense');
    return dense !== undefined && g(fc.nat, { max: 9 }) < 7
      ? dense
      : oneof.fields[oneOf(g, oneof.fields.length)];
  });
  for (const field of schema.fields) {
    if (field.message !== undefined && (depth > DEPTH_MAX || LEFT_OUT.includes(field.message.name))) continue;
    if (field.oneof === undefined ? wanted(g, field, depth) : chosen.includes(field))
      json[field.jsonName] = anyField(g, field, depth);
  }
  return json;
}

function wanted(g: Choose, field: DescField, depth: number): boolean {
  if (field.name === 'collection_name') return true;
  if (OFTEN.test(field.name)) return g(fc.nat, { max: 9 }) < 8;
  if (/indices|vectors_count|score_threshold/.test(field.name)) return g(fc.nat, { max: 9 }) === 0;
  return g(fc.nat, { max: 3 + depth }) === 0;
}

function anyField(g: Choose, field: DescField, depth: number): JsonValue {
  if (field.fieldKind === 'map') {
    const keys = VECTORS.filter((_, i) => i > 2 && g(fc.nat, { max: 9 }) < 3);
    return Object.fromEntries(
      keys.map((key) => [key, field.message === undefined ? true : anyMessage(g, field.message, depth + 1)]),
    );
  }
  if (field.fieldKind !== 'list') return anyValue(g, field, depth);
  const isVector = field.scalar === ScalarType.FLOAT;
  const length = isVector && g(fc.nat, { max: 19 }) > 0 ? INPUT_DIM : g(fc.nat, { max: 3 });
  return Array.from({ length }, () => anyValue(g, field, depth));
}

function oneOfNames(g: Choose, names: readonly string[]): string {
  return names[g(fc.nat, { max: names.length - 1 })] ?? '';
}

function anyValue(g: Choose, field: DescField, depth: number): JsonValue {
  if (field.message !== undefined) return anyMessage(g, field.message, depth + 1);
  if (field.enum !== undefined)
    return field.enum.values[g(fc.nat, { max: field.enum.values.length - 1 })]?.name ?? null;
  switch (field.scalar) {
    case ScalarType.STRING:
      return oneOfNames(g, field.name.startsWith('collection') ? COLLECTIONS : VECTORS);
    case ScalarType.BOOL:
      return g(fc.boolean);
    case ScalarType.FLOAT:
    case ScalarType.DOUBLE:
      return g(fc.nat, { max: 9 }) + 1;
    case ScalarType.UINT64:
    case ScalarType.INT64:
      return String(g(fc.nat, { max: 20 }));
    default:
      return g(fc.nat, { max: 20 });
  }
}

/** What was done to the requests of a run, to know that all was tried. */
type Outcomes = Record<string, number>;

/** Rewrites, and looks into what is sent by other means than the rewriter's own. */
function check(method: string, message: Uint8Array, outcomes: Outcomes): void {
  for (const layout of ['two-stage', 'compact'] as const) {
    const made = rewriters[layout].rewrite(pathOf(method), message);
    outcomes[made.kind] = (outcomes[made.kind] ?? 0) + 1;
    if (made.kind !== 'send') continue;
    const sentMethod = made.call.path.slice('/qdrant.'.length);
    const sent = decoded(sentMethod, made.call.message);
    if (sent === null) continue;
    outcomes['looked into'] = (outcomes['looked into'] ?? 0) + 1;
    const reduced = servedVector(sent['collectionName']);
    for (const { vector, values } of reduced === null ? [] : denseVectors(sentMethod, sent)) {
      if (vector === (layout === 'compact' ? reduced : 'compact')) {
        outcomes['compact vectors'] = (outcomes['compact vectors'] ?? 0) + 1;
        expect({ layout, vector, values }).toEqual({
          layout,
          vector,
          values: Array<number>(OUTPUT_DIM).fill(PROJECTED),
        });
      } else expect(values).not.toContain(PROJECTED);
    }
  }
}

function servedVector(target: JsonValue | undefined): string | null {
  if (target === 'named_t') return 'v';
  return target === 'docs_t' || target === 'twin_t' || target === 'foreign_t' ? '' : null;
}

/** Null where another decoder finds the message wrong, as the server would. */
function decoded(method: string, message: Uint8Array): JsonObject | null {
  try {
    const json = toJson(requestSchema(method), fromBinary(requestSchema(method), message));
    return typeof json === 'object' && json !== null && !Array.isArray(json) ? json : null;
  } catch {
    return null;
  }
}

const anyRequest = fc
  .tuple(fc.constantFrom(...METHOD_NAMES.filter((name) => name.startsWith('Points/'))), fc.gen())
  .map(([method, g]) => ({ method, message: encodeRequest(method, anyMessage(g, requestSchema(method))) }));

/** A byte changed, the end cut off, a piece copied to elsewhere, or a piece left out. */
function mutated(message: Uint8Array, cuts: readonly number[], value: number): Uint8Array {
  const [a = 0, b = 0, c = 0, how = 0] = cuts.map((cut) => cut % (message.length + 1));
  const [from, to] = [Math.min(a, b), Math.max(a, b)];
  const piece = message.subarray(from, to);
  switch (how % 4) {
    case 0:
      return Buffer.concat([message.subarray(0, c), Buffer.of(value), message.subarray(c + 1)]);
    case 1:
      return message.subarray(0, to);
    case 2:
      return Buffer.concat([message.subarray(0, c), piece, message.subarray(c)]);
    default:
      return Buffer.concat([message.subarray(0, from), message.subarray(to)]);
  }
}

describe('whatever is asked, nothing is thrown and no vector of full size is sent to the compact space', () => {
  test('messages of every form', () => {
    const outcomes: Outcomes = {};
    fc.assert(
      fc.property(anyRequest, ({ method, message }) => check(method, message, outcomes)),
      { numRuns: RUNS, seed: 1 },
    );
    for (const kind of ['send', 'status', 'pass', 'lookup', 'compact vectors'])
      expect([kind, (outcomes[kind] ?? 0) > 0]).toEqual([kind, true]);
    expect(outcomes['send']).toBeGreaterThan(RUNS / 10);
    expect(outcomes['looked into']).toBe(outcomes['send']);
  });

  test('messages with damage', () => {
    const outcomes: Outcomes = {};
    const damage = fc.tuple(fc.array(fc.nat(), { minLength: 4, maxLength: 4 }), fc.nat({ max: 255 }));
    fc.assert(
      fc.property(
        anyRequest,
        fc.array(damage, { minLength: 1, maxLength: 2 }),
        ({ method, message }, changes) => {
          check(
            method,
            changes.reduce((bytes, [cuts, value]) => mutated(bytes, cuts, value), message),
            outcomes,
          );
        },
      ),
      { numRuns: RUNS * 3, seed: 2 },
    );
    expect(outcomes['looked into']).toBeGreaterThan(0);
  });

  test('bytes of no meaning', () => {
    const methods = fc.constantFrom(...METHOD_NAMES, 'Points/SomethingNew');
    fc.assert(
      fc.property(methods, fc.uint8Array({ maxLength: 60 }), fc.boolean(), (method, bytes, named) => {
        const name = Buffer.from('0a04646f6373', 'hex');
        const message = named ? Buffer.concat([name, bytes]) : bytes;
        for (const rewriter of Object.values(rewriters)) {
          const made = rewriter.rewrite(pathOf(method), message);
          if (named) expect(made.kind === 'pass' && !method.startsWith('Collections/')).toBe(false);
          rewriter.rewriteAnswer({ form: 'info', collection: 'docs', errorsOnly: false }, message);
          rewriter.rewriteAnswer({ form: 'list', collection: '', errorsOnly: false }, message);
        }
      }),
      { numRuns: RUNS * 3, seed: 3 },
    );
  });

  test('messages nested without end', () => {
    for (const depth of [63, 64, 65, 100, 5_000]) {
      let prefetch: Buffer = Buffer.from('1204 0a02 0a00'.replace(/ /g, ''), 'hex');
      for (let i = 1; i < depth; i++)
        prefetch = Buffer.concat([Buffer.of(0x0a), varint(prefetch.length), prefetch]);
      const message = Buffer.concat([
        Buffer.from('0a04646f6373', 'hex'),
        Buffer.of(0x12),
        varint(prefetch.length),
        prefetch,
      ]);
      const made = rewriters['two-stage'].rewrite('/qdrant.Points/Query', message);
      if (depth <= 64) expect(levelsOf(made)).toBe(Math.min(depth + 1, 64));
      else expect(made).toMatchObject({ kind: 'status', code: 3 });
    }
  });
});

/** Levels of prefetches in what is sent: a last one is added where the server allows it. */
function levelsOf(made: GrpcRewrite): number {
  if (made.kind !== 'send') return 0;
  let stage: JsonObject | undefined = decoded('Points/Query', made.call.message) ?? undefined;
  for (let level = 0; ; level++) {
    const [next]: JsonValue[] = Array.isArray(stage?.['prefetch']) ? stage['prefetch'] : [];
    if (typeof next !== 'object' || next === null || Array.isArray(next)) return level;
    stage = next;
  }
}

function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  for (; rest > 127; rest >>= 7) bytes.push((rest & 127) | 128);
  return Buffer.from([...bytes, rest]);
}
