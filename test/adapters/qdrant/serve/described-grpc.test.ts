import { create, toBinary, type DescField, type DescMessage, type DescMethod } from '@bufbuild/protobuf';
import { expect, test } from '@jest/globals';
import { grpcOperation } from '../../../../adapters/qdrant/serve/operations.js';
import type { Layout } from '../../../../src/store/collection.js';
import { finished, type GrpcRewrite } from '../../../../src/serve/protocol.js';
import type { ServedCollection } from '../../../../src/store/served.js';
import { grpcParts, shortNameOf } from '../../../support/wire/described-parts.js';
import { FULL_VECTOR, grpcNames, grpcVectors, HIDDEN_NAME } from '../../../support/wire/described-sought.js';
import { expectStored, readTable } from '../../../support/wire/described-table.js';
import { fixtureRewriter } from '../../../support/wire/grpc-fixture.js';
import { describedServices, messagesWith } from '../../../support/wire/grpc-description.js';

const methods = describedServices().flatMap((service) =>
  service.methods.map((method) => ({ method, path: `/${service.typeName}/${method.name}` })),
);
/** Methods whose requests are addressed to a collection: field 1 is its name. */
const addressed = methods.filter(({ method }) =>
  method.input.fields.some(({ name, number }) => number === 1 && name === 'collection_name'),
);

/** A request to a served collection. */
interface Requested {
  readonly method: DescMethod;
  readonly path: string;
  readonly way: string;
  readonly message: Readonly<Record<string, unknown>>;
}

/** Returns every request to a served collection that may hold what is sought, once for each place. */
function requestsWith(sought: (field: DescField) => unknown): readonly Requested[] {
  return addressed.flatMap(({ method, path }) =>
    messagesWith(method.input, sought).map((one) => ({ method, path, ...one })),
  );
}

/** Returns the message that the server gets; null for a refused request. */
function sent(
  { method, path, message }: Requested,
  layout: Layout,
  facts: Partial<ServedCollection> = {},
): Buffer | null {
  const rewriter = fixtureRewriter(layout, facts);
  const bytes = toBinary(method.input, create(method.input, { ...message, collectionName: 'docs' }));
  if (rewriter.route(path).kind !== 'rewrite') return Buffer.from(bytes);
  const made = finished<GrpcRewrite>(rewriter.begin(path, bytes));
  if (made.kind === 'pass') return Buffer.from(bytes);
  return made.kind === 'send' ? Buffer.from(made.call.message) : null;
}

test('every method has a row in the table of operations', () => {
  const missing = methods.filter(({ path }) => grpcOperation(path).grpc === null);
  expect(missing.map(({ path }) => path)).toEqual([]);
  expect(methods.length).toBeGreaterThan(50);
});

test('raw storage of newer servers is refused, although no client describes it', () => {
  const route = fixtureRewriter('two-stage').route('/qdrant.StorageRead/ReadBytes');
  expect(route).toMatchObject({ kind: 'status', code: 7 });
});

test('every field and value has an entry, and every entry stands for one', () => {
  expect([...readTable('grpc.txt').keys()].sort()).toEqual([...grpcParts()].sort());
});

test('no entry lets pass what may hold a vector or the hidden name in a request', () => {
  const table = readTable('grpc.txt');
  const leads = (field: DescField, sought: (one: DescField) => unknown): boolean =>
    sought(field) !== undefined ||
    (field.message !== undefined && messagesWith(field.message, sought).length > 0);
  const passing = messagesIn(addressed.map(({ method }) => method.input)).flatMap((type) =>
    type.fields
      .filter(({ name }) => table.get(`${shortNameOf(type)}.${name}`) === 'pass')
      .filter((field) => [grpcVectors, grpcNames].some((sought) => leads(field, sought)))
      .map(({ name }) => `${shortNameOf(type)}.${name}`),
  );
  expect(passing).toEqual([]);
});

test('vectors never pass unread, wherever the description lets them stand', () => {
  const full = Buffer.from(new Uint8Array(Float32Array.from(FULL_VECTOR).buffer));
  const outcomes = requestsWith(grpcVectors).map((request) => {
    const bytes = sent(request, 'compact');
    const became = bytes === null ? 'refused' : bytes.includes(full) ? 'PASSED' : 'projected';
    return `${request.path.replace('/qdrant.', '')} ${request.way}: ${became}`;
  });
  expect(outcomes.filter((line) => line.endsWith('PASSED'))).toEqual([]);
  // In a prefetch, the same becomes of the same queries.
  expectStored(
    'grpc-vectors.txt',
    outcomes.filter((line) => !line.includes('prefetch')),
  );
});

test('a condition on the hidden vector is never sent, wherever the description lets it stand', () => {
  const { length } = HIDDEN_NAME;
  /** Condition: has_vector 7 (HasVectorCondition: has_vector 1). */
  const condition = Buffer.from([0x3a, length + 2, 0x0a, length, ...Buffer.from(HIDDEN_NAME)]);
  const requests = requestsWith(grpcNames);
  const named = requests.filter((request) =>
    sent(request, 'two-stage', { compact: HIDDEN_NAME })?.includes(condition),
  );
  expect(named.map(({ path, way }) => `${path} ${way}`)).toEqual([]);
  expect(requests.filter(({ way }) => way.includes('idf')).length).toBeGreaterThan(10);
});

/** Returns the messages that requests may hold. */
function messagesIn(requests: readonly DescMessage[]): readonly DescMessage[] {
  const found = new Set<DescMessage>();
  const visit = (type: DescMessage): void => {
    if (found.has(type)) return;
    found.add(type);
    for (const { message } of type.fields) if (message !== undefined) visit(message);
  };
  requests.forEach(visit);
  return [...found];
}
