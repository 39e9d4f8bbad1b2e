import { expect } from '@jest/globals';
import { openQdrantRecords } from '../../adapters/qdrant/open-qdrant.js';
import { Leases } from '../../src/migrate/record-lease.js';
import { startCluster, type Peer } from './test-cluster.js';
import { testsOn } from './test-server.js';

const test = await testsOn('a process');

/** The peer that orders strong writes is the one of the highest id; `first` is another one, and so is `second`. */
async function followersOf(peers: readonly Peer[]): Promise<{ first: Peer; second: Peer }> {
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
  const peers = await startCluster(3);
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
