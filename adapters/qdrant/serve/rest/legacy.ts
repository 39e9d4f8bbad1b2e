import { U64_MAX } from '../../points/point-id.js';
import { serverVector } from '../hidden-vector.js';
import type { JsonNode, Span } from '../json/scan-body.js';
import { asciiJson, type ByteEdits, type Chunk } from '../json/byte-edits.js';
import {
  badBody,
  countOf,
  elementsOf,
  entryOf,
  fieldsOf,
  GROUP_ALIASES,
  STRUCTURES,
  stringOf,
  textOf,
  valueOf,
  type JsonFields,
} from './structures.js';
import { uuidId } from '../point-ids.js';
import { readLookup } from './lookup-from.js';
import type { LegacySearch } from '../operations.js';
import type { LegacyCall } from '../search-fields.js';
import { applyChanges, searchesOf, writeObject } from './query.js';
import {
  leaveStage,
  projectStage,
  resultChanges,
  treatmentOf,
  wrapStage,
  type Changes,
  type RewriteContext,
  type RestStage,
} from './stage.js';
import { pairsOf, type QueryForm } from './vector-input.js';
import { LEGACY_LOOKUP_VECTOR } from '../rules.js';
import type { Treatment } from '../stage-rules.js';

type Copy = (part: Span) => readonly Chunk[];

interface LegacyRequest {
  readonly node: JsonNode;
  readonly stage: RestStage;
  readonly call: LegacyCall;
  /** The vector's name as the client gave it. */
  readonly asked: string;
  readonly writeName: Read['writeName'];
}

interface LegacyRewrite {
  readonly request: LegacyRequest;
  readonly changes: Changes;
  /** The prefetch, if the request became a query with two stages. */
  readonly prefetch: readonly Chunk[] | null;
}

const AVERAGE = 'average_vector';
/** Names of the other strategies of a recommendation. */
const STRATEGIES: readonly string[] = ['best_score', 'sum_scores'];

/** Fields with the same meaning in a query. */
const SAME_FIELDS = [
  'filter',
  'params',
  'score_threshold',
  'limit',
  'offset',
  'with_payload',
  'with_vector',
  'lookup_from',
  'shard_key',
  'group_by',
  'group_size',
  'with_lookup',
];

/**
 * Rewrites searches of the older endpoints. If one search of a batch becomes a query, all of them do.
 * @returns whether they are now a request of the query endpoint, whose answers have another envelope
 * @throws Refusal
 */
export function rewriteRestLegacy(
  root: JsonNode,
  { call, form }: Pick<LegacySearch, 'call' | 'form'>,
  rewriting: RewriteContext,
): boolean {
  const grouped = form === 'groups';
  const requests = searchesOf(root, form, rewriting.source).map((node) =>
    readLegacy(node, rewriting, { call, grouped }),
  );
  const areComplete = requests.every((request) => isComplete(request.stage, request.call, rewriting.source));
  const rewrites = requests.map((request) => rewriteLegacy(request, rewriting, areComplete));
  const asQueries = rewrites.some(({ prefetch }) => prefetch !== null);
  for (const rewrite of rewrites) {
    const { node, stage } = rewrite.request;
    if (asQueries) rewriting.source.replace(node, queryText(rewrite, rewriting));
    else applyChanges(stage.fields, rewrite.changes, rewriting);
  }
  return asQueries;
}

function readLegacy(
  node: JsonNode,
  rewriting: RewriteContext,
  { call, grouped }: { readonly call: LegacyCall; readonly grouped: boolean },
): LegacyRequest {
  const { source } = rewriting;
  const structure = STRUCTURES[call];
  const fields = fieldsOf(node, grouped ? { ...structure, aliases: GROUP_ALIASES } : structure, source);
  const { using: asked, form, writeName } = READERS[call](fields, source);
  const using = serverVector(asked, rewriting.served);
  const lookup = readLookup(valueOf(fields, 'lookup_from'), LEGACY_LOOKUP_VECTOR, rewriting);
  const stage: RestStage = {
    fields,
    using,
    form,
    lookup,
    hasPrefetch: false,
    place: { depth: 0, grouped, into: 'other' },
  };
  return { node, stage, call, asked, writeName };
}

/**
 * @param areComplete whether the server would accept all requests of the call. Only then are queries
 * equivalent. Otherwise nothing is looked up: the server reports the first fault that it finds itself.
 */
function rewriteLegacy(
  request: LegacyRequest,
  rewriting: RewriteContext,
  areComplete: boolean,
): LegacyRewrite {
  const { stage, call, asked, writeName } = request;
  const results = resultChanges(stage.fields, rewriting);
  const rewrite = (changes: Changes, prefetch: readonly Chunk[] | null): LegacyRewrite => {
    return { request, prefetch, changes: new Map([...results, ...changes]) };
  };
  const possible = treatmentOf(stage, rewriting);
  const treatment: Treatment = possible.kind === 'wrap' && !areComplete ? { kind: 'leave' } : possible;
  switch (treatment.kind) {
    case 'leave': {
      const changes = leaveStage(stage, rewriting);
      if (stage.using !== asked && writeName !== undefined) changes.set('vector', writeName(stage.using));
      return rewrite(changes, null);
    }
    case 'project':
      return rewrite(projectStage(stage, rewriting), null);
    case 'wrap': {
      const { prefetch, changes } = wrapStage(stage, treatment, rewriting);
      if (call === 'recommend' && stage.place.grouped) requireExamples(stage, rewriting);
      return rewrite(changes, prefetch);
    }
  }
}

/**
 * Checks that points exist: a query for groups ignores missing ids, but the older call refuses them.
 * @throws Refusal
 */
function requireExamples(
  { form, fields, lookup }: RestStage,
  { served, source, lookups }: RewriteContext,
): void {
  const shardKey = valueOf(fields, 'shard_key');
  const own = { collection: served.target, shardKey: shardKey === undefined ? '' : source.raw(shardKey) };
  const inputs = form.kind === 'similarity' ? form.inputs : [];
  for (const input of inputs)
    if (input.kind === 'number' || input.kind === 'string') lookups.require(lookup ?? own, input, source);
}

/**
 * Returns whether the server would accept a request. Otherwise the request stays unchanged, and the server
 * says why.
 */
function isComplete(
  { fields, form, place: { grouped } }: RestStage,
  call: LegacyCall,
  source: ByteEdits,
): boolean {
  const counts = grouped ? ['limit', 'group_size'] : ['limit'];
  if (!counts.every((name) => (countOf(fields, name, source) ?? 0) >= 1)) return false;
  if (grouped && valueOf(fields, 'group_by')?.kind !== 'string') return false;
  if (form.kind !== 'similarity' || form.inputs.length === 0) return false;
  if (!form.inputs.every((input) => isExample(input, source))) return false;
  if (call === 'discover') return isListOrNone(valueOf(fields, 'context'));
  if (call === 'search') return true;
  const strategy = valueOf(fields, 'strategy');
  const name = strategy === undefined ? AVERAGE : strategy.kind === 'string' && stringOf(strategy, source);
  if (name !== AVERAGE) return name !== false && STRATEGIES.includes(name);
  return elementsOf(valueOf(fields, 'positive'), source).length > 0;
}

/**
 * Returns whether a node is a list or absent. Queries take a single pair without a list, the older calls do
 * not.
 */
function isListOrNone(node: JsonNode | undefined): boolean {
  return node === undefined || node.kind === 'array' || node.kind === 'numbers';
}

/**
 * Returns whether the older calls accept a node as a vector or an id. Queries accept more forms, and their
 * errors for other forms differ. A form that is rejected here is only searched more slowly, by the full
 * vectors.
 */
function isExample(node: JsonNode, source: ByteEdits): boolean {
  switch (node.kind) {
    case 'numbers':
      return true;
    case 'number':
      return /^\d{1,20}$/.test(source.read(node)) && BigInt(source.read(node)) <= U64_MAX;
    case 'string':
      return uuidId(stringOf(node, source)) !== null;
    case 'object':
      return entryOf(node, 'indices')?.kind === 'numbers' && entryOf(node, 'values')?.kind === 'numbers';
    default:
      return false;
  }
}

interface Read {
  readonly using: string;
  readonly form: QueryForm;
  /** Writes the field `vector` with another name, if the field holds the vector's name. */
  readonly writeName?: (name: string) => readonly Chunk[];
}

type Reader = (fields: JsonFields, source: ByteEdits) => Read;

const READERS: Readonly<Record<LegacyCall, Reader>> = {
  search: readSearch,
  recommend: (fields, source) => {
    const parts = ['positive', 'negative', 'strategy'] as const;
    const inputs = [valueOf(fields, 'positive'), valueOf(fields, 'negative')].flatMap((list) =>
      elementsOf(list, source),
    );
    const write = (copy: Copy): readonly Chunk[] => inner('recommend', parts, fields, copy);
    return { using: textOf(fields, 'using', source) ?? '', form: similarity(inputs, write) };
  },
  discover: (fields, source) => {
    const target = valueOf(fields, 'target');
    const context = valueOf(fields, 'context');
    const inputs = [...(target === undefined ? [] : [target]), ...pairsOf(context, source)];
    const write = (copy: Copy): readonly Chunk[] => {
      if (target === undefined)
        return ['{"context":', ...(context === undefined ? ['[]'] : copy(context)), '}'];
      return [
        '{"discover":{"target":',
        ...copy(target),
        ',"context":',
        ...(context === undefined ? ['[]'] : copy(context)),
        '}}',
      ];
    };
    return { using: textOf(fields, 'using', source) ?? '', form: similarity(inputs, write) };
  },
};

function readSearch(fields: JsonFields, source: ByteEdits): Read {
  const vector = fields.get('vector')?.value;
  if (vector === undefined) return { using: '', form: { kind: 'none' } };
  const same = (part: JsonNode): QueryForm => ({
    ...similarity([part], (copy) => copy(part)),
    isNearest: true,
  });
  if (vector.kind === 'numbers') return { using: '', form: same(vector) };
  const badVector = badBody('data did not match any variant of untagged enum NamedVectorStruct');
  if (vector.kind !== 'object' && vector.kind !== 'array') throw badVector;
  const named = fieldsOf(vector, STRUCTURES.namedVector, source);
  const [name, values] = [named.get('name')?.value, named.get('vector')?.value];
  if (name?.kind !== 'string' || (values?.kind !== 'numbers' && values?.kind !== 'object')) throw badVector;
  const writeName = (text: string): readonly Chunk[] => [
    source.raw({ start: vector.start, end: name.start }),
    asciiJson(text),
    source.raw({ start: name.end, end: vector.end }),
  ];
  return { using: stringOf(name, source), form: same(values), writeName };
}

function similarity(
  inputs: readonly JsonNode[],
  write: (copy: Copy) => readonly Chunk[],
): QueryForm & { readonly kind: 'similarity' } {
  return { kind: 'similarity', inputs, isNearest: false, diversity: null, write };
}

function inner(name: string, parts: readonly string[], fields: JsonFields, copy: Copy): readonly Chunk[] {
  const values = new Map<string, readonly Chunk[]>();
  for (const part of parts) {
    const value = valueOf(fields, part);
    if (value !== undefined) values.set(part, copy(value));
  }
  return [`{"${name}":`, ...writeObject(values), '}'];
}

function queryText(
  { request, changes, prefetch }: LegacyRewrite,
  { source }: RewriteContext,
): readonly Chunk[] {
  const { form, using, fields } = request.stage;
  const values = new Map<string, readonly Chunk[]>();
  if (form.kind === 'similarity')
    values.set(
      'query',
      form.write((part) => [source.raw(part)]),
    );
  if (using !== '') values.set('using', [asciiJson(using)]);
  for (const name of SAME_FIELDS) {
    const value = fields.get(name)?.value;
    if (value === undefined || (name === 'params' && prefetch !== null)) continue;
    values.set(name, changes.get(name) ?? [source.raw(value)]);
  }
  if (prefetch !== null) values.set('prefetch', prefetch);
  return writeObject(values);
}
