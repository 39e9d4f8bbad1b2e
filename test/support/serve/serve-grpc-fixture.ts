import type { JsonObject, JsonValue } from '@bufbuild/protobuf';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openQdrant } from '../../../adapters/qdrant/index.js';
import { grpcRewriter } from '../../../adapters/qdrant/serve/rewriters/grpc.js';
import { readNpy } from '../../../src/files/npy.js';
import type { Encoder } from '../../../src/encoder/model.js';
import { row, rowRange, type Matrix } from '../../../src/core/matrix.js';
import type { ServedCollection, VectorProjector } from '../../../src/store/served.js';
import type { Layout } from '../../../src/store/collection.js';
import {
  finished,
  type AnswerForm,
  type CallStatus,
  type GrpcCall,
  type GrpcRewriter,
  type GrpcRewrite,
} from '../../../src/serve/protocol.js';
import { migrateCollection } from '../../../src/migrate/run/migrate-collection.js';
import { decodeAnswer, encodeRequest, pathOf } from '../wire/grpc-schemas.js';
import { PlainGrpc } from '../server/grpc-call.js';
import { startTestServer, type TestServer } from '../server/test-server.js';
import { pcaEncoder } from '../migrate/pca-encoder.js';

export const ROWS = 300;
const SMALL_DIM = 32;
/** Points of the collection that others are compared with by id; it is not served. */
const OTHER_ROWS = 20;

/** A decoded answer without times, or a status. */
export type Answer = JsonValue | { readonly code: number; readonly text: string };

export type Ask = (method: string, json: JsonObject) => Promise<Answer>;

/** What is migrated: a collection of one unnamed vector, and one of named vectors of several kinds. */
export const SOURCES = {
  plain: { vector: '', visible: [''] },
  named: { vector: 'text', visible: ['text', 'small', 'words'] },
} as const;
export type Source = keyof typeof SOURCES;

export interface ServedTest {
  readonly queries: Matrix;
  readonly projector: VectorProjector;
  /** Straight to the server: the original collection. */
  readonly direct: Ask;
  /** The same names, served from their targets. */
  readonly through: (collections: readonly ServedCollection[]) => Ask;
  readonly served: (source: Source, layout: Layout, facts?: Partial<ServedCollection>) => ServedCollection;
  readonly stop: () => Promise<void>;
}

/** Two collections of real embeddings, migrated into both layouts. */
export async function startServed(): Promise<ServedTest> {
  const server = await startTestServer();
  const folder = await mkdtemp(join(tmpdir(), 'qdrant-tldr-serve-grpc-'));
  const grpc = new PlainGrpc(server.grpcUrl);
  const base = rowRange(await readNpy('demo/data/base.npy'), 0, ROWS);
  const queries = rowRange(await readNpy('demo/data/queries.npy'), 0, 40);
  const encoder = await pcaEncoder(base, SMALL_DIM, { source: 'plain' });
  const direct: Ask = async (method, json) => {
    const { code, text, message } = await grpc.call({
      path: pathOf(method),
      message: encodeRequest(method, json),
    });
    return code === 0 ? timeless(decodeAnswer(method, message)) : { code, text };
  };
  await createSources(direct, base, queries);
  await migrateAll(server, encoder, folder);
  const projector: VectorProjector = {
    inputDim: encoder.inputDim,
    outputDim: encoder.outputDim,
    fingerprint: encoder.fingerprint,
    project: (x) => encoder.project(x),
    projectQueries: (x) => encoder.project(x),
  };
  return {
    queries,
    projector,
    direct,
    through: (collections) => throughRewriter(grpc, grpcRewriter(collections)),
    served: (source, layout, facts = {}) => ({
      names: [source],
      target: `${source}-${layout}`,
      layout,
      vector: SOURCES[source].vector,
      compact: layout === 'compact' ? SOURCES[source].vector : 'compact',
      distance: 'cosine',
      inputDim: base.cols,
      outputDim: SMALL_DIM,
      componentBytes: 4,
      visibleVectors: SOURCES[source].visible,
      oversampling: ROWS,
      candidatesMax: Number.POSITIVE_INFINITY,
      allowsExact: true,
      scoreThreshold: 'pass',
      vectorAnswers: 'refuse',
      projector,
      ...facts,
    }),
    stop: async () => {
      grpc.close();
      await server.stop();
      await rm(folder, { recursive: true });
    },
  };
}

/** The point of a row; every 20th lacks the vector that is reduced. */
function pointOf(source: Source, base: Matrix, i: number): JsonObject {
  const dense = [...row(base, i)];
  const payload = { n: { integerValue: String(i) }, shelf: { stringValue: `shelf-${i % 7}` } };
  const named: JsonObject = i % 20 === 19 ? {} : { [SOURCES[source].vector]: { dense: { data: dense } } };
  if (source === 'named') {
    named['small'] = { data: [1 + i, i % 5, 2, 1] };
    named['words'] = { sparse: { indices: [i % 11, 50 + (i % 3)], values: [1, 0.5 + i / 100] } };
  }
  return { id: { num: String(i + 1) }, payload, vectors: { vectors: { vectors: named } } };
}

async function createSources(ask: Ask, base: Matrix, queries: Matrix): Promise<void> {
  const full = { size: String(base.cols), distance: 'Cosine', hnswConfig: { m: '24' }, onDisk: false };
  const small = { size: '4', distance: 'Dot' };
  await expectDone(ask, 'Collections/Create', { collectionName: 'plain', vectorsConfig: { params: full } });
  await expectDone(ask, 'Collections/Create', {
    collectionName: 'named',
    vectorsConfig: { paramsMap: { map: { text: full, small } } },
    sparseVectorsConfig: { map: { words: {} } },
  });
  await expectDone(ask, 'Collections/Create', { collectionName: 'other', vectorsConfig: { params: full } });
  for (const source of ['plain', 'named'] as const) {
    const points = Array.from({ length: ROWS }, (_, i) => pointOf(source, base, i));
    await expectDone(ask, 'Points/Upsert', { collectionName: source, wait: true, points });
    for (const [fieldName, fieldType] of [
      ['shelf', 'FieldTypeKeyword'],
      ['n', 'FieldTypeInteger'],
    ] as const)
      await expectDone(ask, 'Points/CreateFieldIndex', {
        collectionName: source,
        wait: true,
        fieldName,
        fieldType,
      });
  }
  const points = Array.from({ length: OTHER_ROWS }, (_, i) => ({
    id: { num: String(i + 1) },
    vectors: { vector: { data: [...row(queries, i)] } },
  }));
  await expectDone(ask, 'Points/Upsert', { collectionName: 'other', wait: true, points });
}

async function expectDone(ask: Ask, method: string, json: JsonObject): Promise<void> {
  const answer = await ask(method, json);
  if (typeof answer === 'object' && answer !== null && 'code' in answer)
    throw new Error(`${method}: ${JSON.stringify(answer)}`);
}

async function migrateAll(server: TestServer, encoder: Encoder, folder: string): Promise<void> {
  const store = await openQdrant(server);
  for (const source of ['plain', 'named'] as const)
    for (const layout of ['two-stage', 'compact'] as const) {
      const target = `${source}-${layout}`;
      const { verify } = await migrateCollection({
        source: store,
        target: store,
        sourceCollection: source,
        targetCollection: target,
        encoder,
        layout,
        vectorName: SOURCES[source].vector,
        statePath: join(folder, `${target}.json`),
      });
      if (!verify.ok) throw new Error(`${target} differs from its source`);
    }
  await store.close();
}

function statusText({ code, message }: CallStatus): Answer {
  return { code, text: message };
}

/** What a proxy does with one call: look up, send, turn the answer back. */
function throughRewriter(grpc: PlainGrpc, rewriter: GrpcRewriter): Ask {
  const send = async (method: string, call: GrpcCall, form: AnswerForm | null): Promise<Answer> => {
    const { code, text, message } = await grpc.call(call);
    if (code !== 0)
      return statusText(
        form === null ? { code, message: text } : rewriter.rewriteStatus(form, { code, message: text }),
      );
    const shown = form === null || form.errorsOnly ? message : rewriter.rewriteAnswer(form, message);
    return timeless(decodeAnswer(method, shown));
  };
  return async (method, json) => {
    const message = encodeRequest(method, json);
    const path = pathOf(method);
    let rewrite = finished<GrpcRewrite>(rewriter.begin(path, message));
    if (rewrite.kind === 'lookup') {
      const answers: Uint8Array[] = [];
      for (const call of rewrite.calls) {
        const answer = await grpc.call(call);
        if (answer.code !== 0)
          return statusText(
            rewriter.rewriteStatus(rewrite.answer, { code: answer.code, message: answer.text }),
          );
        answers.push(answer.message);
      }
      rewrite = finished<GrpcRewrite>(rewriter.begin(path, message, answers));
    }
    switch (rewrite.kind) {
      case 'status':
        return { code: rewrite.code, text: rewrite.message };
      case 'reply':
        return timeless(decodeAnswer(method, rewrite.message));
      case 'pass':
        return send(method, { path, message }, null);
      case 'send':
        return send(method, rewrite.call, rewrite.answer);
      case 'lookup':
        throw new Error('a lookup after its answers');
    }
  };
}

/** What differs from one call, or one copy, to the next. */
const TIMELY = ['time', 'usage', 'operationId', 'version'];

function timeless(answer: JsonValue): JsonValue {
  return JSON.parse(
    JSON.stringify(answer, (key, value: unknown) => (TIMELY.includes(key) ? undefined : value)),
  ) as JsonValue;
}
