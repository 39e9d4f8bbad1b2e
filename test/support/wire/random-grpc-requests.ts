import {
  fromBinary,
  ScalarType,
  toJson,
  type DescField,
  type DescMessage,
  type JsonObject,
  type JsonValue,
} from '@bufbuild/protobuf';
import fc from 'fast-check';
import { matrix } from '../../../src/core/matrix.js';
import type { ServedCollection } from '../../../src/store/served.js';
import type { Layout } from '../../../src/store/collection.js';
import { fixtureCollections, INPUT_DIM, OUTPUT_DIM } from './collections-fixture.js';
import { encodeRequest, METHOD_NAMES, requestSchema } from './grpc-schemas.js';
import { denseVectors } from './grpc-vectors-found.js';

/** Every compact value; the generated ones are positive. */
const PROJECTED = -7;
const DEPTH_MAX = 7;

/** The fixture's collections with a projector whose results are told at sight. */
export function markingCollections(layout: Layout): ServedCollection[] {
  const project = ({ rows }: { readonly rows: number }) => {
    const y = matrix(rows, OUTPUT_DIM);
    y.data.fill(PROJECTED);
    return y;
  };
  return fixtureCollections(layout).map((served) => ({
    ...served,
    vectorAnswers: 'compact',
    projector: { ...served.projector, project, projectQueries: project },
  }));
}

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

/** How many compact vectors a request that was sent holds, and what stands where it should not. */
export interface Looked {
  readonly compact: number;
  readonly wrong: readonly string[];
}

/** Looks into what is sent by other means than the rewriter's own; null where another decoder finds it wrong. */
export function lookInto(layout: Layout, method: string, message: Uint8Array): Looked | null {
  const sent = decoded(method, message);
  if (sent === null) return null;
  const reduced = servedVector(sent['collectionName']);
  let compact = 0;
  const wrong: string[] = [];
  for (const { vector, values } of reduced === null ? [] : denseVectors(method, sent)) {
    const isCompact = vector === (layout === 'compact' ? reduced : 'compact');
    if (isCompact) compact++;
    const isProjected = values.length === OUTPUT_DIM && values.every((value) => value === PROJECTED);
    if (isCompact ? !isProjected : values.includes(PROJECTED)) wrong.push(`${vector}: ${values.join()}`);
  }
  return { compact, wrong };
}

function servedVector(target: JsonValue | undefined): string | null {
  if (target === 'named_t') return 'v';
  return target === 'docs_t' || target === 'twin_t' || target === 'foreign_t' ? '' : null;
}

/** A request as JSON; null where another decoder finds the message wrong, as the server would. */
export function decoded(method: string, message: Uint8Array): JsonObject | null {
  try {
    const json = toJson(requestSchema(method), fromBinary(requestSchema(method), message));
    return typeof json === 'object' && json !== null && !Array.isArray(json) ? json : null;
  } catch {
    return null;
  }
}

/** Requests of the Points service in any form that their descriptions allow. */
export const anyGrpcRequest = fc
  .tuple(fc.constantFrom(...METHOD_NAMES.filter((name) => name.startsWith('Points/'))), fc.gen())
  .map(([method, g]) => ({ method, message: encodeRequest(method, anyMessage(g, requestSchema(method))) }));

/** A message with a byte changed, the end cut off, a piece copied to elsewhere, or a piece left out. */
export function mutated(message: Uint8Array, cuts: readonly number[], value: number): Uint8Array {
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
