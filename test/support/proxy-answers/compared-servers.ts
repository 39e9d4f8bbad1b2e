import { grpcRewriter } from '../../../adapters/qdrant/serve/rewriters/grpc.js';
import { THRESHOLDS_KEY } from '../../../adapters/qdrant/store/scaled-limits.js';
import { restRewriter } from '../../../adapters/qdrant/serve/rewriters/rest.js';
import { PACKAGED_VERSION } from '../../../adapters/qdrant/local/packaged-version.js';
import { matrixFromRows } from '../../../src/core/matrix.js';
import type { ServedCollection } from '../../../src/store/served.js';
import type { Layout } from '../../../src/store/collection.js';
import { changedCollections, fixtureCollections } from '../wire/collections-fixture.js';
import { contentDifferences } from './compare-original-with-target.js';
import { fetchOnce } from '../server/fetch-once.js';
import { startTestProxy, type TestProxy } from '../serve/proxy-fixture.js';
import { startTestServer, type TestServer } from '../server/test-server.js';

export const LAYOUTS = ['two-stage', 'compact'] as const;
/** The world before the migration, and after it in each layout. */
const SIDES = ['original', ...LAYOUTS] as const;
export type Side = (typeof SIDES)[number];

/** More than the fixture's collections have points: with so many candidates none is left out. */
const COVERING = 1_000;
/** As numbers that a JS number cannot hold, and as the server writes them. */
const IDS: readonly string[] = [
  ...Array.from({ length: 10 }, (_, i) => String(i + 1)),
  '9007199254740993',
  '18446744073709551615',
  '"936da01f-9abd-4d9d-80c7-02af85c822a8"',
  '"00000000-0000-0000-0000-00000000000a"',
];
/**
 * How often the points of a collection are written again before it is made anew. From 1,000 deleted points on the server
 * rebuilds a segment, and a point that is replaced meanwhile keeps its payload if the new one has none.
 */
const REFILLS_MAX = 30;
/** The one point that lacks the first vector of its collection. */
const WITHOUT_VECTOR = 10;

interface Kind {
  /** Sizes of dense vectors. */
  readonly dense: Readonly<Record<string, number>>;
  readonly sparse?: string;
  /** How many of the ids it has. */
  readonly points: number;
}

/** Every collection that stored requests name, as it was before the migration. */
const COLLECTIONS: Readonly<Record<string, Kind>> = {
  docs: { dense: { '': 4 }, points: IDS.length },
  named: { dense: { v: 4, other: 4 }, sparse: 'words', points: IDS.length },
  twin: { dense: { '': 4 }, points: IDS.length },
  foreign: { dense: { '': 4 }, points: IDS.length },
  elsewhere: { dense: { '': 4, other: 4 }, points: IDS.length },
  x: { dense: { '': 4, z: 4 }, points: IDS.length },
  short: { dense: { '': 2 }, points: 7 },
};
/** Payload indexes of `docs`. */
const INDEXES = { n: 'integer', a: 'keyword' };
const SERVED = ['docs', 'named', 'twin', 'foreign'];

/** Whether a collection is one that proxies change. */
export function isServed(name: string): boolean {
  return SERVED.includes(name);
}

/** Three servers that hold the same points, one as before the migration, and proxies before the other two. */
export interface ComparedServers {
  readonly servers: Readonly<Record<Side, TestServer>>;
  /** Whether the servers are those whose answers are stored. */
  readonly pinned: boolean;
  /** The proxy of a layout with some facts changed; kept until `forgetProxies`. */
  readonly proxy: (layout: Layout, facts?: Partial<ServedCollection>) => Promise<TestProxy>;
  /** Writes the points of a collection again on all sides. */
  readonly restorePoints: (name: string) => Promise<void>;
  /** Makes a collection anew on all sides. */
  readonly restore: (name: string) => Promise<void>;
  /** Removes the collections and aliases that requests have made. */
  readonly tidy: () => Promise<void>;
  /** One line for every difference between what the original and a target hold, once all writes have been applied. */
  readonly differences: (name: string, layout: Layout) => Promise<string[]>;
  readonly stop: () => Promise<void>;
}

/** Starts the servers and fills them. */
export async function startComparedServers(): Promise<ComparedServers> {
  const [original, twoStage, compact] = await Promise.all(SIDES.map(() => startTestServer()));
  const servers = { original: original!, 'two-stage': twoStage!, compact: compact! };
  const proxies = new Map<string, Promise<TestProxy>>();
  const refills = new Map<string, number>();
  const proxy: ComparedServers['proxy'] = (layout, facts = {}) => {
    const key = JSON.stringify([layout, facts]);
    const started = proxies.get(key) ?? startLayout(layout, servers[layout], facts);
    proxies.set(key, started);
    return started;
  };
  const closeProxies = async (): Promise<void> => {
    for (const started of proxies.values()) await (await started).proxy.close();
    proxies.clear();
  };
  const onAll = async (make: typeof create, name: string): Promise<void> => {
    await Promise.all(SIDES.map((side) => make(servers[side].url, name, side)));
  };
  for (const name of Object.keys(COLLECTIONS)) await onAll(create, name);
  return {
    servers,
    proxy,
    pinned: (await versionOf(servers.original.url)) === PACKAGED_VERSION,
    restorePoints: async (name) => {
      const times = (refills.get(name) ?? 0) + 1;
      refills.set(name, times % REFILLS_MAX);
      await onAll(times === REFILLS_MAX ? create : fill, name);
    },
    restore: (name) => onAll(create, name),
    tidy: async () => {
      await Promise.all(SIDES.map((side) => tidy(servers[side].url, side)));
    },
    differences: (name, layout) => differencesOf(servers, name, layout),
    stop: async () => {
      await closeProxies();
      await Promise.all(SIDES.map((side) => servers[side].stop()));
    },
  };
}

async function differencesOf(
  servers: ComparedServers['servers'],
  name: string,
  layout: Layout,
): Promise<string[]> {
  const served = servedIn(layout, name);
  const original = { url: servers.original.url, collection: name };
  return contentDifferences(original, { ...served, url: servers[layout].url, collection: served.target });
}

async function startLayout(
  layout: Layout,
  { url, grpcUrl }: TestServer,
  facts: Partial<ServedCollection>,
): Promise<TestProxy> {
  const collections = changedCollections(layout, { oversampling: COVERING, ...facts });
  const rewriters = { rest: restRewriter(collections), grpc: grpcRewriter(collections) };
  return startTestProxy({ url, grpcUrl, rewriters });
}

async function versionOf(url: string): Promise<string> {
  return ((await (await fetchOnce(url)).json()) as { version: string }).version;
}

async function tidy(url: string, side: Side): Promise<void> {
  const own = Object.keys(COLLECTIONS).map((name) => nameOn(side, name));
  const { collections } = (await ask(url, 'GET', '/collections')) as { collections: { name: string }[] };
  for (const { name } of collections)
    if (!own.includes(name)) await ask(url, 'DELETE', `/collections/${name}`);
  const { aliases } = (await ask(url, 'GET', '/aliases')) as { aliases: { alias_name: string }[] };
  for (const { alias_name } of aliases) {
    const actions = [{ delete_alias: { alias_name } }];
    if (!alias_name.endsWith('-alias'))
      await ask(url, 'POST', '/collections/aliases', JSON.stringify({ actions }));
  }
}

/** The same operations in the same order on every side. */
async function create(url: string, name: string, side: Side): Promise<void> {
  const at = nameOn(side, name);
  await ask(url, 'DELETE', `/collections/${at}`);
  await ask(url, 'PUT', `/collections/${at}`, JSON.stringify(settings(name, side)));
  if (name === 'docs')
    for (const [field, schema] of Object.entries(INDEXES)) {
      const body = JSON.stringify({ field_name: field, field_schema: schema });
      await ask(url, 'PUT', `/collections/${at}/index?wait=true`, body);
    }
  await fill(url, name, side);
  if (!isServed(name)) return;
  const action = { create_alias: { collection_name: at, alias_name: `${name}-alias` } };
  await ask(url, 'POST', '/collections/aliases', JSON.stringify({ actions: [action] }));
}

async function fill(url: string, name: string, side: Side): Promise<void> {
  const at = `/collections/${nameOn(side, name)}/points`;
  const { points } = COLLECTIONS[name]!;
  const texts = Array.from({ length: points }, (_, i) => {
    const vectors = JSON.stringify(vectorsOn(side, name, i));
    return `{"id":${IDS[i]},"vector":${vectors},"payload":${payloadOf(i)}}`;
  });
  await ask(url, 'POST', `${at}/delete?wait=true`, '{"filter":{}}');
  await ask(url, 'PUT', `${at}?wait=true`, `{"points":[${texts.join()}]}`);
}

function nameOn(side: Side, name: string): string {
  return isServed(name) && side !== 'original' ? `${name}_t` : name;
}

function settings(name: string, side: Side): object {
  const { dense, sparse } = COLLECTIONS[name]!;
  const vectors: Record<string, object> = {};
  for (const [vector, size] of Object.entries(dense))
    vectors[vector] = { size, distance: vector === 'other' ? 'Dot' : 'Cosine' };
  const [reduced = ''] = Object.keys(dense);
  const layout = isServed(name) ? side : 'original';
  // Smaller limits for smaller vectors, as a migration sets them; clients see those of the source.
  const limit = { full_scan_threshold: 5000 };
  const alone = Object.keys(dense).length === 1;
  const small = { size: 2, distance: 'Cosine', ...(alone ? {} : { hnsw_config: limit }) };
  const thresholds = {
    ...(alone
      ? { full_scan_threshold: { source: 10_000, target: 5000 } }
      : { vector_full_scan_threshold: { source: null, target: 5000 } }),
    ...(layout === 'compact' && { indexing_threshold: { source: 10_000, target: 5000 } }),
  };
  if (layout === 'two-stage') {
    vectors[reduced] = { ...vectors[reduced], hnsw_config: { m: 0 }, on_disk: true };
    vectors['compact'] = small;
  }
  if (layout === 'compact') vectors[reduced] = small;
  return {
    vectors: Object.keys(vectors).join() === '' ? vectors[''] : vectors,
    ...(sparse === undefined ? {} : { sparse_vectors: { [sparse]: {} } }),
    ...(layout === 'original'
      ? {}
      : { metadata: { tldr: { layout }, [THRESHOLDS_KEY]: JSON.stringify(thresholds) } }),
    ...(layout !== 'original' && alone ? { hnsw_config: limit } : {}),
    optimizers_config: {
      // As many segments as there are processors would be others on another machine.
      default_segment_number: 1,
      indexing_threshold: layout === 'compact' ? 5000 : 10_000,
    },
  };
}

/** Numbers without a pattern, so that no two points have the same score. */
function vectorsOf({ dense, sparse }: Kind, i: number): Record<string, unknown> {
  const vectors: Record<string, unknown> = {};
  Object.entries(dense).forEach(([name, size], k) => {
    if (k === 0 && i === WITHOUT_VECTOR - 1) return;
    vectors[name] = Array.from({ length: size }, (_, j) =>
      Number((5 * Math.sin((i + 1) * (j + 2) + k)).toFixed(3)),
    );
  });
  if (sparse !== undefined) vectors[sparse] = { indices: [1, 2 + (i % 3)], values: [1 + i / 8, 0.5] };
  return vectors;
}

function payloadOf(i: number): string {
  return `{"n":${i + 1},"a":"${'xyz'[i % 3]}","g":"${'pq'[i % 2]}","f":${i}.0,"big":9007199254740993}`;
}

/** A point's vectors as a side holds them. */
function vectorsOn(side: Side, name: string, i: number): Record<string, unknown> {
  const vectors = vectorsOf(COLLECTIONS[name]!, i);
  if (side === 'original' || !isServed(name)) return vectors;
  const { vector, compact, projector } = servedIn(side, name);
  const full = vectors[vector];
  if (full === undefined) return vectors;
  return { ...vectors, [compact]: [...projector.project(matrixFromRows([full as number[]])).data] };
}

function servedIn(layout: Layout, name: string): ServedCollection {
  return fixtureCollections(layout).find(({ names }) => names[0] === name)!;
}

/** The result of a request that must succeed. */
async function ask(url: string, method: string, path: string, body?: string): Promise<unknown> {
  const response = await fetchOnce(url + path, {
    method,
    headers: { 'content-type': 'application/json' },
    ...(body === undefined ? {} : { body }),
  });
  const text = await response.text();
  if (!response.ok) throw new Error(`${method} ${path}: ${text}`);
  return (JSON.parse(text) as { result: unknown }).result;
}
