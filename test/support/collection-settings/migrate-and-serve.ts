import { QDRANT } from '../../../adapters/qdrant/adapter.js';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { JsonValue } from '@bufbuild/protobuf';
import { openQdrant } from '../../../adapters/qdrant/index.js';
import { startProxyProcess } from '../../../src/cli/serve/proxy-process.js';
import { loadConfig } from '../../../src/config/load.js';
import { matrix, row } from '../../../src/core/matrix.js';
import { Rng } from '../../../src/core/rng.js';
import type { Layout, Quantization } from '../../../src/store/collection.js';
import { migrateCollection } from '../../../src/migrate/run/migrate-collection.js';
import { decodeAnswer, encodeRequest, pathOf } from '../wire/grpc-schemas.js';
import { fetchOnce } from '../server/fetch-once.js';
import { PlainGrpc } from '../server/grpc-call.js';
import { pcaEncoder } from '../migrate/pca-encoder.js';
import { startTestServer } from '../server/test-server.js';

const ROWS = 40;
const DIM = 32;
const SMALL_DIM = 8;
/** Metadata of a target that the proxy shows as it is. */
const TOLD = /^tldr(-|$)/;

export type Fields = Readonly<Record<string, unknown>>;
export type Transport = 'REST' | 'gRPC';
export const TRANSPORTS: readonly Transport[] = ['REST', 'gRPC'];

export interface Migrated {
  readonly name: string;
  /** What PUT of the collection takes; null for a collection that is there. */
  readonly body: Fields | null;
  readonly vector: string;
  readonly layout?: Layout;
  readonly compactName?: string;
  readonly quantization?: Quantization;
}

export interface Answer {
  readonly ok: boolean;
  readonly content: unknown;
}

export interface Side {
  /** What a client sees of a collection's settings. */
  readonly describe: (transport: Transport, name: string) => Promise<unknown>;
  /** PATCH with a body, or UpdateCollection with its JSON. */
  readonly update: (transport: Transport, name: string, change: Fields) => Promise<Answer>;
  readonly rest: (method: string, path: string, body?: object) => Promise<Answer>;
  /** A method such as `Points/Query` with its request as JSON. */
  readonly call: (method: string, request: Fields) => Promise<Answer>;
}

export interface SettingsPlace {
  readonly url: string;
  readonly grpcUrl: string;
  /** The file of the encoder of all targets. */
  readonly encoder: string;
  readonly direct: Side;
  readonly served: Side;
  readonly stop: () => Promise<void>;
}

export function targetOf(name: string): string {
  return `${name}-small`;
}

/** Collections, their targets, and a proxy that serves each target by the name of its source. */
export async function startSettingsPlace(migrated: readonly Migrated[]): Promise<SettingsPlace> {
  const server = await startTestServer();
  const folder = await mkdtemp(join(tmpdir(), 'qdrant-tldr-settings-'));
  const direct = sideOf(server.url, server.grpcUrl);
  const x = matrix(ROWS, DIM);
  const rng = new Rng(5);
  for (let i = 0; i < x.data.length; i++) x.data[i] = rng.normal();
  const encoder = await pcaEncoder(x, SMALL_DIM);
  const file = join(folder, 'encoder.onnx');
  await encoder.save(file);
  const store = await openQdrant(server);
  const collections: Record<string, { target: string; encoder: string }> = {};
  const migrate = async ({
    name,
    body,
    vector,
    layout = 'two-stage',
    ...chosen
  }: Migrated): Promise<void> => {
    if (body !== null) {
      await direct.rest('PUT', name, body);
      const points = Array.from({ length: ROWS }, (_, i) => ({
        id: i,
        vector: { [vector]: [...row(x, i)] },
      }));
      await direct.rest('PUT', `${name}/points?wait=true`, { points });
    }
    const target = targetOf(name);
    await migrateCollection({
      source: store,
      target: store,
      sourceCollection: name,
      targetCollection: target,
      encoder,
      layout,
      vectorName: vector,
      statePath: join(folder, `${target}.json`),
      ...chosen,
    });
    collections[name] = { target, encoder: file };
  };
  await Promise.all(migrated.filter(({ body }) => body !== null).map(migrate));
  for (const again of migrated.filter(({ body }) => body === null)) await migrate(again);
  await store.close();
  const config = loadConfig({
    flags: {
      url: server.url,
      grpcUrl: server.grpcUrl,
      listenRest: '127.0.0.1:0',
      listenGrpc: '127.0.0.1:0',
    },
    environment: {},
    extra: QDRANT.settings,
  });
  const serving = await startProxyProcess({ ...config, collections }, { log: () => undefined, seed: 1 });
  const { rest, grpc } = serving.proxy;
  const served = sideOf(`http://127.0.0.1:${rest.port}`, `http://127.0.0.1:${grpc.port}`);
  return {
    url: server.url,
    grpcUrl: server.grpcUrl,
    encoder: file,
    direct,
    served,
    stop: async () => {
      direct.close();
      served.close();
      await serving.proxy.close();
      await serving.close();
      await server.stop();
      await rm(folder, { recursive: true });
    },
  };
}

function sideOf(url: string, grpcUrl: string): Side & { readonly close: () => void } {
  const grpc = new PlainGrpc(grpcUrl);
  const rest: Side['rest'] = async (method, path, body) => {
    const response = await fetchOnce(`${url}/collections/${path}`, {
      method,
      headers: { 'content-type': 'application/json' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    // Where a request ends differs from what it became.
    const text = (await response.text()).replace(/ at line \d+ column \d+/, '');
    const answer = JSON.parse(text) as { readonly result?: unknown; readonly status: unknown };
    const ok = response.status === 200;
    return { ok, content: ok ? answer.result : { code: response.status, status: answer.status } };
  };
  const call = async (method: string, json: Fields): Promise<Answer> => {
    const message = encodeRequest(method, json as JsonValue);
    const answer = await grpc.call({ path: pathOf(method), message });
    if (answer.code !== 0) return { ok: false, content: { code: answer.code, text: answer.text } };
    return { ok: true, content: decodeAnswer(method, answer.message) };
  };
  return {
    rest,
    call,
    update: (transport, name, change) =>
      transport === 'REST'
        ? rest('PATCH', name, change)
        : call('Collections/Update', { ...change, collectionName: name }).then(({ ok, content }) => ({
            ok,
            content: ok ? (content as Fields)['result'] : content,
          })),
    describe: async (transport, name) => {
      const { ok, content } =
        transport === 'REST'
          ? await rest('GET', name)
          : await call('Collections/Get', { collectionName: name });
      if (!ok) throw new Error(`${name}: ${JSON.stringify(content)}`);
      return shown(transport === 'REST' ? content : (content as Fields)['result']);
    },
    close: () => grpc.close(),
  };
}

/** The settings and the warnings in a description, without what only targets say of themselves. */
function shown(description: unknown): unknown {
  const { config, warnings = [] } = description as { readonly config: Fields; readonly warnings?: unknown };
  const metadata = Object.entries((config['metadata'] ?? {}) as Fields).filter(([key]) => !TOLD.test(key));
  return { ...config, metadata: Object.fromEntries(metadata), warnings };
}
