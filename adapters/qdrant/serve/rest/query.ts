import { serverVector } from '../hidden-vector.js';
import type { JsonNode } from '../json/scan-body.js';
import type { ByteEdits, Chunk } from '../json/byte-edits.js';
import {
  elementsOf,
  fieldsOf,
  oneOrMany,
  STRUCTURES,
  textOf,
  valueOf,
  type JsonFields,
} from './structures.js';
import { readLookup } from './lookup-from.js';
import type { SearchForm } from '../operations.js';
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
import { readRestQuery } from './vector-input.js';
import type { StagePlace } from '../stage-rules.js';

/** Rewrites queries, their prefetches at any depth, and the selection of results. @throws Refusal */
export function rewriteQueries(root: JsonNode, form: SearchForm, rewriting: RewriteContext): void {
  for (const search of searchesOf(root, form, rewriting.source)) {
    const fields = fieldsOf(search, STRUCTURES.query, rewriting.source);
    rewriteStage(search, fields, rewriting, { depth: 0, grouped: form === 'groups', into: 'other' });
    applyChanges(fields, resultChanges(fields, rewriting), rewriting);
  }
}

/** Returns the searches in a request: several in a batch, otherwise one. */
export function searchesOf(root: JsonNode, form: SearchForm, source: ByteEdits): readonly JsonNode[] {
  if (form !== 'batch') return [root];
  return elementsOf(valueOf(fieldsOf(root, STRUCTURES.searches, source), 'searches'), source);
}

/** Writes new values of fields in place of the old ones. */
export function applyChanges(fields: JsonFields, changes: Changes, { source }: RewriteContext): void {
  for (const [name, texts] of changes) {
    const field = fields.get(name);
    if (field !== undefined) source.replace(field.value, texts);
  }
}

function rewriteStage(
  node: JsonNode,
  fields: JsonFields,
  rewriting: RewriteContext,
  place: StagePlace,
): void {
  const { source } = rewriting;
  const prefetches = oneOrMany(valueOf(fields, 'prefetch'), source);
  const using = serverVector(textOf(fields, 'using', source) ?? '', rewriting.served);
  const stage: RestStage = {
    fields,
    using,
    form: readRestQuery(valueOf(fields, 'query'), source),
    lookup: readLookup(valueOf(fields, 'lookup_from'), using, rewriting),
    hasPrefetch: prefetches.length > 0,
    place,
  };
  const treatment = treatmentOf(stage, rewriting);
  switch (treatment.kind) {
    case 'leave':
      applyChanges(fields, leaveStage(stage, rewriting), rewriting);
      break;
    case 'project':
      applyChanges(fields, projectStage(stage, rewriting), rewriting);
      break;
    case 'wrap': {
      const { prefetch, changes } = wrapStage(stage, treatment, rewriting);
      addPrefetch(node, fields, { prefetch, changes }, rewriting);
    }
  }
  const inside = { depth: place.depth + 1, grouped: place.grouped, into: intoOf(stage) };
  for (const inner of prefetches)
    rewriteStage(inner, fieldsOf(inner, STRUCTURES.prefetch, source), rewriting, inside);
}

/** Returns the kind of the stage that takes the results of its prefetches: a fusion of the request, or another one. */
function intoOf({ form, place }: RestStage): StagePlace['into'] {
  if (form.kind === 'unknown') return 'unknown';
  return form.kind === 'fusion' && place.depth === 0 ? 'fusion' : 'other';
}

/** Writes the prefetch in place of `params`, which belong to the first stage. So no comma has to move. */
function addPrefetch(
  node: JsonNode,
  fields: JsonFields,
  { prefetch, changes }: { readonly prefetch: readonly Chunk[]; readonly changes: Changes },
  rewriting: RewriteContext,
): void {
  const { source } = rewriting;
  if (node.kind !== 'object') {
    source.replace(node, objectText(fields, new Map([...changes, ['prefetch', prefetch]]), rewriting));
    return;
  }
  const params = valueOf(fields, 'params') === undefined ? undefined : fields.get('params');
  const empty = fields.get('prefetch');
  const limit = fields.has('limit') ? [] : (changes.get('limit') ?? []);
  const texts = [...prefetch, ...(limit.length === 0 ? [] : [',"limit":', ...limit])];
  if (empty !== undefined) {
    source.replace(empty.value, texts);
    if (params !== undefined) source.replace(params.value, 'null');
  } else if (params !== undefined) {
    source.replace({ start: params.keyStart, end: params.value.end }, '"prefetch":', texts);
  } else {
    source.insert(node.end - 1, ',"prefetch":', texts);
  }
  applyChanges(fields, changes, rewriting);
}

/** Returns a stage given as an array in the form of an object. Its `params` are now in the prefetch. */
function objectText(fields: JsonFields, changes: Changes, { source }: RewriteContext): readonly Chunk[] {
  const values = new Map<string, readonly Chunk[]>();
  for (const [name, { value }] of fields) if (name !== 'params') values.set(name, [source.raw(value)]);
  return writeObject(new Map([...values, ...changes]));
}

/** Returns a JSON object of values given as text. */
export function writeObject(values: ReadonlyMap<string, readonly Chunk[]>): readonly Chunk[] {
  const texts = [...values].flatMap(([name, value], i) => [`${i === 0 ? '{' : ','}"${name}":`, ...value]);
  return [...texts, texts.length === 0 ? '{}' : '}'];
}
