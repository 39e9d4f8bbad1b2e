import { expect } from '@jest/globals';
import { openQdrant } from '../../../adapters/qdrant/index.js';
import { STATE_COLLECTION } from '../../../adapters/qdrant/transport/collection-names.js';
import { Leases } from '../../../src/migrate/state/lease.js';
import { fetchAgain } from '../../support/server/fetch-once.js';
import { startRelay } from '../../support/serve/relay.js';
import { startCluster, type Peer } from '../../support/server/test-cluster.js';
import { testsOn } from '../../support/server/test-server.js';

const test = await testsOn('a process');

/** The peer that orders strong writes is the one of the highest id, `leader`. */
async function rolesOf(peers: readonly Peer[]): Promise<{ first: Peer; second: Peer; leader: Peer }> {
  const known = await Promise.all(
    peers.map(async (peer) => {
      const text = await (await fetchAgain(`${peer.url}/cluster`)).text();
      return { peer, id: BigInt(/"peer_id":(\d+)/.exec(text)?.[1] ?? '0') };
    }),
  );
  known.sort((a, b) => (a.id < b.id ? -1 : 1));
  const [first, second, leader] = known.map(({ peer }) => peer);
  if (first === undefined || second === undefined || leader === undefined)
    throw new Error('fewer than three peers');
  return { first, second, leader };
}

test('a migration state in a cluster is held by one runner, whichever peers they ask, and outlives a peer', async () => {
  const peers = await startCluster(3);
  try {
    const stores = await Promise.all(peers.map(async (peer) => (await openQdrant(peer)).state));
    for (let round = 0; round < 5; round++) {
      const takers = [0, 1, 2].flatMap(() => stores.map((store) => new Leases(store, { renewMs: 100 })));
      const taken = await Promise.allSettled(takers.map((leases) => leases.take('race', {})));
      const won = taken.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
      expect(won).toHaveLength(1);
      await won[0]?.stop();
      await won[0]?.release();
    }
    const { first, second } = await rolesOf(peers);
    const store = (await openQdrant(first)).state;
    const lease = await new Leases(store, { renewMs: 100 }).take('kept', {});
    await lease.write({ record: 'three peers' });
    await second.kill();
    await lease.write({ record: 'two peers' });
    expect(await store.read('kept', ['record'])).toEqual({ record: 'two peers' });
    await lease.stop();
  } finally {
    for (const peer of peers) await peer.stop();
  }
});

test('while the peer that orders the writes is away they are tried again, and made when it is back', async () => {
  const peers = await startCluster(3);
  const path = `/collections/${STATE_COLLECTION}/points/payload`;
  let asked = 0;
  let askedAgain = (): void => undefined;
  const twice = new Promise<void>((resolve) => (askedAgain = resolve));
  const ends: (() => Promise<void>)[] = peers.map((peer) => () => peer.stop());
  try {
    const { first, leader } = await rolesOf(peers);
    const relay = await startRelay(
      () => first.url,
      ({ bytes, from }) => {
        if (from === 'client' && bytes.toString('latin1').startsWith(`POST ${path}`) && ++asked === 2)
          askedAgain();
        return 'pass';
      },
    );
    ends.unshift(() => relay.close());
    const [held, store] = [
      (await openQdrant(first)).state,
      (await openQdrant({ url: relay.url, grpcUrl: first.grpcUrl })).state,
    ];
    const lease = await new Leases(held, { renewMs: 100 }).take('kept', {});
    ends.unshift(() => lease.stop());
    await store.create('other', { record: 'three peers' });
    await leader.kill();
    let made = false;
    const changing = store.change('other', { record: 'again' }, { record: 'three peers' }).then(() => {
      made = true;
    });
    await Promise.race([twice, changing]);
    expect(made).toBe(false);
    expect(lease.signal.aborted).toBe(false);
    await leader.restart();
    await changing;
    expect(await store.read('other', ['record'])).toEqual({ record: 'again' });
    await lease.write({ record: 'still held' });
    expect(await held.read('kept', ['record'])).toEqual({ record: 'still held' });
  } finally {
    for (const end of ends) await end();
  }
});
