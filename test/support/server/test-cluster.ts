import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onFreePorts } from '../../../adapters/qdrant/local/free-ports.js';
import { startLocalQdrant, type LocalQdrant } from '../../../adapters/qdrant/local/start.js';

/** One server of a cluster, where it listens now. */
export interface Peer {
  readonly url: string;
  readonly grpcUrl: string;
  /** Ends it as a crash would. */
  kill(): Promise<void>;
  /** Starts it again on its storage and its address within the cluster; clients reach it at another port. */
  restart(): Promise<void>;
  stop(): Promise<void>;
}

/** Peers of the packaged server that form one cluster; the first one is known to the others. */
export async function startCluster(count: number): Promise<Peer[]> {
  const peers: Peer[] = [];
  let first: string | undefined;
  for (let i = 0; i < count; i++) {
    const peer = await onFreePorts(1, ([port = 0]) => startPeer(port, first));
    peers.push(peer);
    first ??= peer.uri;
  }
  return peers;
}

async function startPeer(port: number, first: string | undefined): Promise<Peer & { readonly uri: string }> {
  const uri = `http://127.0.0.1:${port}`;
  const args = [...(first === undefined ? [] : ['--bootstrap', first]), '--uri', uri];
  const storage = await mkdtemp(join(tmpdir(), 'qdrant-tldr-peer-'));
  const env = {
    QDRANT__CLUSTER__ENABLED: 'true',
    QDRANT__CLUSTER__P2P__PORT: String(port),
    QDRANT__STORAGE__STORAGE_PATH: storage,
  };
  let running: LocalQdrant;
  try {
    running = await startLocalQdrant({ env, args });
  } catch (error) {
    await rm(storage, { recursive: true, force: true });
    throw error;
  }
  return {
    uri,
    get url() {
      return running.url;
    },
    get grpcUrl() {
      return running.grpcUrl;
    },
    kill: () => running.kill(),
    restart: async () => {
      const before = running;
      running = await startLocalQdrant({ env, args });
      await before.stop();
    },
    stop: async () => {
      await running.stop();
      await rm(storage, { recursive: true, force: true });
    },
  };
}
