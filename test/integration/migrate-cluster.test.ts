import { expect } from '@jest/globals';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openQdrant } from '../../adapters/qdrant/open-qdrant.js';
import { startLocalQdrant, type LocalQdrant } from '../../src/cli/local-qdrant.js';
import { cutOver } from '../../src/migrate/cut-over.js';
import { startMigration } from '../../src/migrate/migrate-collection.js';
import { recordFile } from '../../src/migrate/record-file.js';
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
