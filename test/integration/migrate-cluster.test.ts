import { expect } from '@jest/globals';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openQdrant, openQdrantRecords } from '../../adapters/qdrant/open-qdrant.js';
import { startLocalQdrant, type LocalQdrant } from '../../src/cli/local-qdrant.js';
import { cutOver } from '../../src/migrate/cut-over.js';
import { startMigration } from '../../src/migrate/migrate-collection.js';
import { recordFile } from '../../src/migrate/record-file.js';
import { Leases } from '../../src/migrate/record-lease.js';
import { DIM, fill, tinyEncoder } from '../migrate/fixtures.js';
import { testsOn } from './test-server.js';

const test = await testsOn('a process');

async function freePort(): Promise<number> {
  const probe = createServer();
  await new Promise<void>((resolve) => probe.listen(0, '127.0.0.1', resolve));
  const { port } = probe.address() as AddressInfo;
  await new Promise((done) => probe.close(done));
  return port;
}

async function startPeer(join?: string): Promise<{ peer: LocalQdrant; uri: string }> {
  const port = await freePort();
  const uri = `http://127.0.0.1:${port}`;
  const env = { QDRANT__CLUSTER__ENABLED: 'true', QDRANT__CLUSTER__P2P__PORT: String(port) };
  const bootstrap = join === undefined ? [] : ['--bootstrap', join];
  return { peer: await startLocalQdrant({ env, args: ['--uri', uri, ...bootstrap] }), uri };
}

test('in a cluster an alias is switched, and the bare name is refused with nothing changed', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'qdrant-tldr-cluster-'));
  const first = await startPeer();
  const second = await startPeer(first.uri);
  const store = await openQdrant(first.peer);
  try {
    const response = await fetch(`${first.peer.url}/collections/source`, {
      method: 'PUT',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ vectors: { size: DIM, distance: 'Cosine' }, shard_number: 2 }),
    });
    expect(response.status).toBe(200);
    await fill(store, 'source', 100);
    const sides = { source: store, target: store, place: recordFile(join(folder, 'record.json')) };
    const names = { sourceCollection: 'source', targetCollection: 'target' };
    await startMigration({ ...sides, ...names, encoder: tinyEncoder() });
    const before = await store.listCollections();
    await expect(cutOver({ ...sides, form: 'bare-name' })).rejects.toMatchObject({
      code: 'UNSUPPORTED',
      message: expect.stringContaining('2 peers'),
    });
    await expect(store.shadowName('source', 'target')).rejects.toMatchObject({ code: 'UNSUPPORTED' });
    expect([...(await store.listCollections())].sort()).toEqual([...before].sort());
    expect((await store.aliases()).size).toBe(0);
    await cutOver({ ...sides, form: 'alias', alias: 'clients' });
    expect((await store.aliases()).get('clients')).toBe('target');
  } finally {
    await store.close();
    await second.peer.stop();
    await first.peer.stop();
    await rm(folder, { recursive: true, force: true });
  }
});

/** The peer that orders strong writes is the one of the highest id; `first` is another one, and so is `second`. */
async function followersOf(
  peers: readonly LocalQdrant[],
): Promise<{ first: LocalQdrant; second: LocalQdrant }> {
  const known = await Promise.all(
    peers.map(async (peer) => {
      const text = await (await fetch(`${peer.url}/cluster`)).text();
      return { peer, id: BigInt(/"peer_id":(\d+)/.exec(text)?.[1] ?? '0') };
    }),
  );
  known.sort((a, b) => (a.id < b.id ? -1 : 1));
  const [first, second] = known.map(({ peer }) => peer);
  if (first === undefined || second === undefined) throw new Error('fewer than two peers');
  return { first, second };
}

test('a record in a cluster is held by one runner, whichever peers they ask, and outlives a peer', async () => {
  const a = await startPeer();
  const others = [await startPeer(a.uri), await startPeer(a.uri)];
  const peers = [a, ...others].map(({ peer }) => peer);
  try {
    const stores = await Promise.all(peers.map((peer) => openQdrantRecords(peer)));
    for (let round = 0; round < 5; round++) {
      const takers = [0, 1, 2].flatMap(() => stores.map((store) => new Leases(store, { renewMs: 100 })));
      const taken = await Promise.allSettled(takers.map((leases) => leases.take('race', {})));
      const won = taken.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
      expect(won).toHaveLength(1);
      await won[0]?.stop();
      await won[0]?.release();
    }
    const { first, second } = await followersOf(peers);
    const store = await openQdrantRecords(first);
    const lease = await new Leases(store, { renewMs: 100 }).take('kept', {});
    await lease.write({ record: 'three peers' });
    await second.kill();
    await lease.write({ record: 'two peers' });
    expect(await store.read('kept', ['record'])).toEqual({ record: 'two peers' });
    await lease.stop();
  } finally {
    for (const peer of peers) await peer.stop();
  }
}, 90_000);
