import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePorts } from '../../src/cli/free-ports.js';
import { startLocalQdrant, type LocalQdrant } from '../../src/cli/local-qdrant.js';

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
    const [port = 0] = await freePorts(1);
    const uri = `http://127.0.0.1:${port}`;
    peers.push(
      await startPeer(port, first === undefined ? ['--uri', uri] : ['--bootstrap', first, '--uri', uri]),
    );
    first ??= uri;
  }
  return peers;
}

async function startPeer(port: number, args: readonly string[]): Promise<Peer> {
  const storage = await mkdtemp(join(tmpdir(), 'qdrant-tldr-peer-'));
  const env = {
    QDRANT__CLUSTER__ENABLED: 'true',
    QDRANT__CLUSTER__P2P__PORT: String(port),
    QDRANT__STORAGE__STORAGE_PATH: storage,
  };
  let running: LocalQdrant = await startLocalQdrant({ env, args });
  return {
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
