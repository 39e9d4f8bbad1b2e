import { QDRANT } from '../../../adapters/qdrant/adapter.js';
import { afterAll, beforeAll, expect } from '@jest/globals';
import { Server } from 'node:net';
import { freePorts } from '../../../adapters/qdrant/local/free-ports.js';
import { startProxyProcess, type ProxyProcess } from '../../../src/cli/serve/proxy-process.js';
import { loadConfig, type Config } from '../../../src/config/load.js';
import { FULL } from '../../support/collection-settings/compare-settings-through-proxy.js';
import {
  startSettingsPlace,
  targetOf,
  type SettingsPlace,
} from '../../support/collection-settings/migrate-and-serve.js';
import { fetchOnce } from '../../support/server/fetch-once.js';
import { startRelay, type Chunk } from '../../support/serve/relay.js';
import { testsOn } from '../../support/server/test-server.js';

const test = await testsOn('any');

let place: SettingsPlace;

beforeAll(async () => {
  const body = { vectors: { text: FULL } };
  place = await startSettingsPlace(
    ['kept', 'changed', 'deleted'].map((name) => ({ name, vector: 'text', body })),
  );
});

afterAll(() => place.stop());

function configOf(flags: Readonly<Record<string, string>>, names: readonly string[]): Config {
  const config = loadConfig({
    flags: {
      url: place.url,
      grpcUrl: place.grpcUrl,
      listenRest: '127.0.0.1:0',
      listenGrpc: '127.0.0.1:0',
      ...flags,
    },
    environment: {},
    extra: QDRANT.settings,
  });
  const entries = names.map((name) => [name, { target: targetOf(name), encoder: place.encoder }] as const);
  return { ...config, collections: Object.fromEntries(entries) };
}

async function stop(serving: ProxyProcess): Promise<void> {
  await serving.proxy.close();
  await serving.close();
}

/** The API key of a request for the aliases; null for anything else. */
function keyOfAliases({ bytes, from }: Chunk): string | null {
  const text = bytes.toString('latin1');
  if (from !== 'client' || !text.startsWith('GET /aliases')) return null;
  return /^api-key: (.*)\r$/im.exec(text)?.[1] ?? null;
}

test('a reload that is refused since it cannot read the aliases leaves the key that names are read with', async () => {
  const keys: string[] = [];
  let fails = true;
  const relay = await startRelay(
    () => place.url,
    (chunk) => {
      const key = keyOfAliases(chunk);
      if (key === null) return 'pass';
      keys.push(key);
      // The first request with a key is that of the check of the collections.
      const isFirst = keys.filter((one) => one === key).length === 1;
      return key === 'next' && fails && !isFirst ? 'cut' : 'pass';
    },
  );
  const config = configOf({ url: relay.url, apiKey: 'first' }, ['kept']);
  const serving = await startProxyProcess(config, { log: () => undefined, seed: 1 });
  try {
    const url = `http://127.0.0.1:${serving.proxy.rest.port}/collections`;
    const next = { ...config, apiKey: 'next' };
    await expect(serving.reload(next)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    expect(keys.filter((key) => key === 'next').length).toBeGreaterThan(1);
    keys.length = 0;
    expect((await fetchOnce(`${url}/unknown`)).status).toBe(404);
    expect(new Set(keys)).toEqual(new Set(['first']));
    fails = false;
    await serving.reload(next);
    keys.length = 0;
    expect((await fetchOnce(`${url}/unknown-too`)).status).toBe(404);
    expect(new Set(keys)).toEqual(new Set(['next']));
  } finally {
    await stop(serving);
    await relay.close();
  }
});

/** Starts serving, and calls `meanwhile` while REST is listened on and gRPC is not yet. */
async function startWith(config: Config, meanwhile: (url: string) => Promise<void>): Promise<ProxyProcess> {
  const [restPort = 0, grpcPort = 0] = await freePorts(2);
  const listen = Reflect.get(Server.prototype, 'listen') as (...given: unknown[]) => unknown;
  const calls: Promise<void>[] = [];
  Server.prototype.listen = function (this: Server, ...given: unknown[]): Server {
    if (given[0] !== grpcPort) return Reflect.apply(listen, this, given) as Server;
    const called = meanwhile(`http://127.0.0.1:${restPort}/collections`);
    calls.push(called.finally(() => void Reflect.apply(listen, this, given)));
    return this;
  };
  try {
    return await startProxyProcess(
      {
        ...config,
        listenRest: { host: '127.0.0.1', port: restPort },
        listenGrpc: { host: '127.0.0.1', port: grpcPort },
      },
      { log: () => undefined, seed: 1 },
    );
  } finally {
    Server.prototype.listen = listen as typeof Server.prototype.listen;
    await Promise.all(calls);
  }
}

test('a change that is answered before gRPC is listened on is answered in full, and takes effect', async () => {
  const send = async (url: string, method: string, body?: object): Promise<number> => {
    const headers = { 'content-type': 'application/json' };
    const sent = { method, headers, ...(body === undefined ? {} : { body: JSON.stringify(body) }) };
    return (await fetchOnce(url, sent)).status;
  };
  const statuses: number[] = [];
  const serving = await startWith(configOf({}, ['changed', 'deleted']), async (url) => {
    const strict = { strict_mode_config: { enabled: true, search_allow_exact: false } };
    statuses.push(await send(`${url}/changed`, 'PATCH', strict));
    // A served name can be deleted only where no original of that name stands beside its target.
    await place.direct.rest('DELETE', 'deleted');
    statuses.push(await send(`${url}/deleted`, 'DELETE'));
  });
  try {
    expect(statuses).toEqual([200, 200]);
    expect(serving.loaded().map(({ served }) => served.names[0])).toEqual(['changed']);
    const url = `http://127.0.0.1:${serving.proxy.rest.port}/collections`;
    expect(await send(`${url}/changed/points/count`, 'POST', { exact: true })).toBe(400);
    expect(await send(`${url}/deleted`, 'GET')).toBe(404);
  } finally {
    await stop(serving);
  }
});
