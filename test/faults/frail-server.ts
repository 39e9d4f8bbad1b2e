import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openQdrant } from '../../adapters/qdrant/index.js';
import { startLocalQdrant } from '../../adapters/qdrant/local/start.js';
import type { QdrantStore } from '../../adapters/qdrant/index.js';
import { startRelay, type Fate } from '../support/serve/relay.js';
import { startBusyGrpc } from './busy-grpc.js';

const REQUEST = /^(GET|PUT|POST|PATCH|DELETE) /;
/** gRPC statuses that say the same as HTTP 429 and 503. */
const BUSY = { 429: 8, 503: 14 } as const;

/** What is wrong with the way to the server. */
interface Trouble {
  cut: boolean;
  /** The HTTP status that requests get instead of an answer of the server, or null. */
  busy: keyof typeof BUSY | null;
}

/** A server behind lines that can be cut, whose place can be taken by "come back later", and that can crash. */
export interface FrailServer {
  /** Where clients reach it, whatever becomes of it. */
  readonly url: string;
  readonly grpcUrl: string;
  /** Past the lines, where it listens now. */
  readonly directUrl: () => string;
  readonly trouble: Trouble;
  /** To the server past the lines. */
  readonly store: () => Promise<QdrantStore>;
  /** `kill -9`. */
  readonly crash: () => Promise<void>;
  /** On the same storage. */
  readonly restart: () => Promise<void>;
  readonly stop: () => Promise<void>;
}

/** The packaged server with everything that can be done to it. */
export async function startFrailServer(): Promise<FrailServer> {
  const storage = await mkdtemp(join(tmpdir(), 'qdrant-tldr-frail-'));
  const start = (): ReturnType<typeof startLocalQdrant> =>
    startLocalQdrant({ env: { QDRANT__STORAGE__STORAGE_PATH: storage } });
  let server = await start();
  const trouble: Trouble = { cut: false, busy: null };
  const cut = (): Fate => (trouble.cut ? 'cut' : 'pass');
  const rest = await startRelay(
    () => server.url,
    ({ bytes, from }) => {
      const { busy } = trouble;
      if (busy === null || from === 'server' || !REQUEST.test(bytes.toString('latin1', 0, 8))) return cut();
      return { answer: answerOf(busy) };
    },
  );
  const busyGrpc = await startBusyGrpc(
    () => server.grpcUrl,
    () => (trouble.busy === null ? null : BUSY[trouble.busy]),
  );
  const grpc = await startRelay(() => busyGrpc.url, cut);
  return {
    url: rest.url,
    grpcUrl: grpc.url,
    directUrl: () => server.url,
    trouble,
    store: () => openQdrant(server),
    crash: () => server.kill(),
    restart: async () => {
      const before = server;
      server = await start();
      await before.stop();
    },
    stop: async () => {
      await rest.close();
      await grpc.close();
      await busyGrpc.close();
      await server.stop();
      await rm(storage, { recursive: true, force: true });
    },
  };
}

function answerOf(status: keyof typeof BUSY): string {
  const body = '{"status":{"error":"too much to do"},"time":0}';
  const [name, retry] =
    status === 429 ? ['Too Many Requests', 'retry-after: 1\r\n'] : ['Service Unavailable', ''];
  return `HTTP/1.1 ${status} ${name}\r\n${retry}content-type: application/json\r\ncontent-length: ${body.length}\r\nconnection: close\r\n\r\n${body}`;
}
