import { expect, test } from '@jest/globals';
import { restOperation } from '../../../../adapters/qdrant/serve/operations.js';
import type { Layout } from '../../../../src/store/collection.js';
import { finished, type RestRewrite } from '../../../../src/serve/protocol.js';
import type { ServedCollection } from '../../../../src/store/served.js';
import { restParts } from '../../../support/wire/described-parts.js';
import { HIDDEN_NAME, REST_NAMES, REST_VECTORS } from '../../../support/wire/described-sought.js';
import { expectStored, readTable } from '../../../support/wire/described-table.js';
import { bodiesWith, leadsTo, type Json, type Sought } from '../../../support/wire/rest-bodies-with.js';
import { readRestDescription, type Described } from '../../../support/wire/rest-description.js';
import { fixtureRewriter } from '../../../support/wire/rest-fixture.js';

const description = readRestDescription();
const COLLECTION = '/collections/{collection_name}';

/** A request to an endpoint of a served collection. */
interface Requested {
  readonly method: string;
  readonly path: string;
  readonly way: string;
  readonly body: Json;
}

/** Returns every request to a served collection that may hold what is sought, once for each place. */
function requestsWith(sought: Sought): readonly Requested[] {
  return description.endpoints.flatMap(({ method, path, body: type }) =>
    path.startsWith(COLLECTION) && type !== null
      ? [...bodiesWith(type, description, sought)].map((one) => ({ method, path, ...one }))
      : [],
  );
}

/** Returns the body that the server gets; null for a refused request. */
function sent(
  { method, path, body }: Requested,
  layout: Layout,
  facts: Partial<ServedCollection> = {},
): string | null {
  const rewriter = fixtureRewriter(layout, facts);
  const url = path.replace('{collection_name}', 'docs').replace(/\{\w+\}/g, '7');
  const head = rewriter.read({ method, url, headers: {} });
  const route = rewriter.route(head);
  const text = JSON.stringify(body);
  if (route.kind === 'answer') return null;
  if (route.kind !== 'rewrite') return text;
  const made = finished<RestRewrite>(rewriter.begin(head, Buffer.from(text)));
  return made.kind === 'send' ? Buffer.from(made.request.body).toString() : null;
}

test('every endpoint has a row in the table of operations', () => {
  const missing = description.endpoints.filter(
    ({ method, path }) =>
      restOperation(
        method,
        path.split('/').filter((part) => part !== ''),
      ).rest === null,
  );
  expect(missing.map(({ method, path }) => `${method} ${path}`)).toEqual([]);
  expect(description.endpoints.length).toBeGreaterThan(60);
});

test('every field, form and value has an entry, and every entry stands for one', () => {
  const described = restParts(description).map(({ name }) => name);
  expect([...readTable('rest.txt').keys()].sort()).toEqual([...described].sort());
});

test('no entry lets pass what may hold a vector or the hidden name in a request', () => {
  const requested = schemasIn(description.endpoints.flatMap(({ body }) => (body === null ? [] : [body])));
  const table = readTable('rest.txt');
  const passing = restParts(description).filter(({ name, type }) => {
    const [schema = '', ...field] = name.split('.');
    if (type === null || table.get(name) !== 'pass' || !requested.has(schema)) return false;
    const within = ({ leaf, plain }: Sought): Sought => ({
      leaf: (one, inner, at) => (inner === '' ? leaf(one, schema, field.join('.')) : leaf(one, inner, at)),
      plain,
    });
    return [REST_VECTORS, REST_NAMES].some((sought) => leadsTo(type, description, within(sought)));
  });
  expect(passing.map(({ name }) => name)).toEqual([]);
});

test('vectors never pass unread, wherever the description lets them stand', () => {
  const outcomes = requestsWith(REST_VECTORS).map((request) => {
    const text = sent(request, 'compact');
    const became = text === null ? 'refused' : text.includes('0.1234567') ? 'PASSED' : 'projected';
    return `${request.method} ${request.path.replace(COLLECTION, '')} ${request.way}: ${became}`;
  });
  expect(outcomes.filter((line) => line.endsWith('PASSED'))).toEqual([]);
  // In a prefetch, the same becomes of the same queries.
  expectStored('rest-vectors.txt', [...new Set(outcomes.filter((line) => !line.includes('.prefetch')))]);
});

test('a condition on the hidden vector is never sent, wherever the description lets it stand', () => {
  const requests = requestsWith(REST_NAMES);
  const named = requests.filter((request) =>
    sent(request, 'two-stage', { compact: HIDDEN_NAME })?.includes(`"has_vector":"${HIDDEN_NAME}"`),
  );
  expect(named.map(({ method, path, way }) => `${method} ${path} ${way}`)).toEqual([]);
  expect(requests.filter(({ way }) => way.includes('.idf.')).length).toBeGreaterThan(10);
});

/** Returns the schemas that types lead to. */
function schemasIn(types: readonly Described[]): ReadonlySet<string> {
  const found = new Set<string>();
  const visit = (type: Described): void => {
    if (type.kind === 'object') type.fields.forEach((field) => visit(field.type));
    else if (type.kind === 'one of') type.forms.forEach(visit);
    else if (type.kind === 'list' || type.kind === 'map') visit(type.of);
    else if (type.kind === 'schema' && !found.has(type.name)) {
      found.add(type.name);
      visit(description.schemas.get(type.name) ?? { kind: 'nothing' });
    }
  };
  types.forEach(visit);
  return found;
}
