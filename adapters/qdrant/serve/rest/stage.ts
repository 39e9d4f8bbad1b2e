import type { ServedCollection } from '../../../../src/store/served.js';
import { float32ArrayJson } from '../json/write-vector.js';
import type { JsonNode, Span } from '../json/scan-body.js';
import { asciiJson, type ByteEdits, type Chunk, type PendingBytes } from '../json/byte-edits.js';
import {
  countOf,
  elementsOf,
  fieldsOf,
  STRUCTURES,
  stringOf,
  textOf,
  valueOf,
  type JsonFields,
} from './structures.js';
import { lookupPlaceJson, type RestLookupPlace, type Lookups } from './lookup-from.js';
import type { SlotForm, VectorSlots } from '../vector-slots.js';
import { readInput, type QueryForm } from './vector-input.js';
import { lookedUp, Refusal, treatWithVector, unknownForm } from '../rules.js';
import { treatStage, type StagePlace, type Treatment, type WrapTreatment } from '../stage-rules.js';

const NOTHING = new Uint8Array(0);
export const JSON_SLOTS: SlotForm<PendingBytes> = {
  create: () => ({ bytes: NOTHING }),
  write: (slot, values) => void (slot.bytes = float32ArrayJson(values)),
};

/** One request that is being rewritten. */
export interface RewriteContext {
  readonly served: ServedCollection;
  readonly collections: readonly ServedCollection[];
  readonly source: ByteEdits;
  readonly slots: VectorSlots<PendingBytes>;
  readonly lookups: Lookups;
}

/** A stage of a query, or a legacy search. */
export interface RestStage {
  readonly fields: JsonFields;
  /** The searched vector by the server's name. */
  readonly using: string;
  readonly form: QueryForm;
  readonly lookup: RestLookupPlace | null;
  readonly hasPrefetch: boolean;
  readonly place: StagePlace;
}

/** New values of fields as text. */
export type Changes = Map<string, readonly Chunk[]>;

/** @throws Refusal */
export function treatmentOf(stage: RestStage, { served, source }: RewriteContext): Treatment {
  const { fields, form, using, hasPrefetch, place } = stage;
  const params = valueOf(fields, 'params');
  const exact = params === undefined ? undefined : fieldsOf(params, STRUCTURES.params, source).get('exact');
  return treatStage(
    {
      place,
      using,
      // An unknown form may hold vectors for the reduced space.
      query: form.kind === 'unknown' ? 'similarity' : form.kind === 'fusion' ? 'other' : form.kind,
      diversity: form.kind === 'similarity' ? form.diversity : null,
      hasPrefetch,
      exact: exact?.value.kind === 'true',
      hasScoreThreshold: valueOf(fields, 'score_threshold') !== undefined,
      limit: countOf(fields, 'limit', source) ?? null,
      offset: countOf(fields, 'offset', source) ?? null,
    },
    served,
  );
}

/** Rewrites a stage that stays: only the names of the lookup collection and of the vector may change. */
export function leaveStage(
  { fields, using, lookup, form }: RestStage,
  { served, source }: RewriteContext,
): Changes {
  const changes: Changes = new Map();
  if ((textOf(fields, 'using', source) ?? using) !== using) changes.set('using', [asciiJson(using)]);
  if (lookup === null) return changes;
  if (lookup.reduced?.layout === 'compact' && form.kind === 'similarity')
    throw notStored(lookup.reduced, served);
  return changes.set('lookup_from', [lookupPlaceJson(lookup)]);
}

/** Replaces every vector in place. @throws Refusal */
export function projectStage(stage: RestStage, rewriting: RewriteContext): Changes {
  const { changes, replace } = inputsOf(stage, rewriting);
  for (const input of similarityOf(stage.form).inputs) {
    const text = replace(input);
    if (text !== null) rewriting.source.replace(input, text);
  }
  return changes;
}

/** Returns the prefetch that a stage gets, and the changes to the stage. @throws Refusal */
export function wrapStage(
  stage: RestStage,
  { candidates, plainLimit }: WrapTreatment,
  rewriting: RewriteContext,
): { readonly prefetch: readonly Chunk[]; readonly changes: Changes } {
  const { served, source } = rewriting;
  const { fields, lookup } = stage;
  const form = similarityOf(stage.form);
  if (lookup?.reduced?.layout === 'compact') throw notStored(lookup.reduced, served);
  const { changes: inner, replace } = inputsOf(stage, rewriting);
  const inputs = [...form.inputs].sort((a, b) => a.start - b.start);
  const copy = (part: Span): Chunk[] => {
    const texts: Chunk[] = [];
    let from = part.start;
    for (const input of inputs) {
      if (input.start < part.start || input.end > part.end) continue;
      const text = replace(input);
      if (text === null) continue;
      texts.push(source.raw({ start: from, end: input.start }), text);
      from = input.end;
    }
    return [...texts, source.raw({ start: from, end: part.end })];
  };
  const query = form.write(copy);
  const params = valueOf(fields, 'params');
  const lookupFrom = inner.get('lookup_from');
  const prefetch: Chunk[] = [
    '{"query":',
    ...query,
    `,"using":${asciiJson(served.compact)},"limit":${candidates}`,
    ...(params === undefined ? [] : [`,"params":${source.raw(params)}`]),
    ...(lookupFrom === undefined || lookupFrom[0] === 'null' ? [] : [',"lookup_from":', ...lookupFrom]),
    '}',
  ];
  const changes: Changes =
    lookup === null
      ? new Map<string, readonly Chunk[]>()
      : new Map([['lookup_from', [lookupPlaceJson(lookup)]]]);
  if (plainLimit !== null) {
    changes.set(
      'query',
      form.write((part) => [source.raw(part)]),
    );
    changes.set('limit', [String(plainLimit)]);
  }
  return { prefetch, changes };
}

function similarityOf(form: QueryForm): QueryForm & { readonly kind: 'similarity' } {
  if (form.kind !== 'similarity') throw unknownForm('query');
  return form;
}

/** Returns what each vector or id of a stage becomes in the compact space; null where the input stays as it is. */
function inputsOf(
  { lookup, form }: RestStage,
  { served, source, slots, lookups }: RewriteContext,
): { readonly changes: Changes; readonly replace: (input: JsonNode) => Chunk | null } {
  const { reduced } = lookup ?? { reduced: null };
  const sameSpace = reduced?.projector.fingerprint === served.projector.fingerprint;
  const { inputs, isNearest } = similarityOf(form);
  const hasIds = inputs.some(({ kind }) => kind === 'string' || kind === 'number');
  const changes: Changes = new Map();
  if (lookup !== null) {
    if (hasIds && !sameSpace && reduced?.layout === 'compact') throw notStored(reduced, served);
    if (sameSpace) changes.set('lookup_from', [lookupPlaceJson(lookup, reduced.compact)]);
    else if (hasIds) changes.set('lookup_from', ['null']);
    else changes.set('lookup_from', [lookupPlaceJson(lookup)]);
  }
  const replace = (input: JsonNode): Chunk | null => {
    const read = readInput(input, served, source);
    if (read.kind === 'dense') return isNearest ? slots.addSearched(read.values) : slots.add(read.values);
    if (lookup === null || sameSpace) return null;
    const vector = lookups.vectorOf(lookup, input, source);
    return vector === null ? null : slots.add(vector);
  };
  return { changes, replace };
}

function notStored(place: ServedCollection, served: ServedCollection): Refusal {
  return new Refusal(
    400,
    `Bad request: lookup_from: full vectors of "${place.vector}" are not stored in \`${place.names[0] ?? place.target}\`, and its compact ones are not comparable with those of "${served.vector}"`,
  );
}

/** Returns the changes to the selection of returned vectors and lookups. @throws Refusal */
export function resultChanges(fields: JsonFields, { served, collections, source }: RewriteContext): Changes {
  const changes: Changes = new Map();
  const vectors = selectionText(valueOf(fields, 'with_vector'), served, source);
  if (vectors !== null) changes.set('with_vector', [vectors]);
  const lookup = valueOf(fields, 'with_lookup');
  const text = lookup === undefined ? null : withLookupText(lookup, collections, source);
  if (text !== null) changes.set('with_lookup', [text]);
  return changes;
}

/** Returns the new value of `with_vector`; null if it stays. @throws Refusal */
function selectionText(
  node: JsonNode | undefined,
  served: ServedCollection,
  source: ByteEdits,
): string | null {
  const asked = selectionOf(node, source);
  const selection = asked === null ? 'keep' : treatWithVector(asked, served);
  return selection === 'keep' ? null : `[${selection.names.map(asciiJson).join()}]`;
}

/** Returns the selection; null for a form that the server refuses. */
function selectionOf(node: JsonNode | undefined, source: ByteEdits): boolean | readonly string[] | null {
  if (node === undefined || node.kind === 'false') return false;
  if (node.kind === 'true') return true;
  if (node.kind !== 'array' && node.kind !== 'numbers') return null;
  const items = elementsOf(node, source);
  return items.every(({ kind }) => kind === 'string') ? items.map((item) => stringOf(item, source)) : null;
}

/** Returns `with_lookup` with the server's name of the collection; null if it stays. */
export function withLookupText(
  node: JsonNode,
  collections: readonly ServedCollection[],
  source: ByteEdits,
): string | null {
  if (node.kind === 'string') {
    const served = lookedUp(stringOf(node, source), collections);
    return served === null ? null : asciiJson(served.target);
  }
  const fields = fieldsOf(node, STRUCTURES.withLookup, source);
  const collection = valueOf(fields, 'collection');
  if (collection === undefined) return null;
  const served = lookedUp(stringOf(collection, source), collections);
  if (served === null) return null;
  const vectors = valueOf(fields, 'with_vectors');
  const payload = fields.get('with_payload');
  const selection =
    selectionText(vectors, served, source) ?? (vectors === undefined ? null : source.raw(vectors));
  return `{"collection":${asciiJson(served.target)}${
    payload === undefined ? '' : `,"with_payload":${source.raw(payload.value)}`
  }${selection === null ? '' : `,"with_vectors":${selection}`}}`;
}
