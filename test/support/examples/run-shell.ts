import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Encoder } from '../../../src/encoder/model.js';
import { writeNpy } from '../../../src/files/npy.js';
import { writeParquet } from '../../../src/files/write-parquet.js';
import { endServing, startServe, type Serving } from '../serve/serve-child.js';
import {
  makeDocs,
  migrateDocs,
  removeCollections,
  SMALL_DOCS,
  vectorOf,
  VECTORS,
  type Addresses,
} from './docs-collection.js';
import type { PageSnippet } from './doc-snippets.js';

const COMMAND = fileURLToPath(new URL('snippet-command-child.js', import.meta.url));
const ANY_PORT = '127.0.0.1:0';

/** A server, an encoder of `docs`, and an address that takes messages. */
export interface ShellPlace {
  readonly addresses: Addresses;
  readonly encoder: Encoder;
  readonly chatUrl: string;
}

/** What a snippet may ask for by `given: ...`; each is made in the snippet's own folder. */
const GIVEN: Readonly<Record<string, (place: ShellPlace, folder: string) => Promise<void>>> = {
  docs: ({ addresses }) => makeDocs(addresses),
  'enc.onnx': ({ encoder }, folder) => encoder.save(join(folder, 'enc.onnx')),
  'a finished migration': ({ addresses, encoder }, folder) =>
    migrateDocs(addresses, { encoder, statePath: join(folder, `.qdrant-tldr/docs--${SMALL_DOCS}.json`) }),
  'base.npy': (_, folder) => writeNpy(join(folder, 'base.npy'), VECTORS, [VECTORS]),
  'base.parquet': (_, folder) =>
    writeParquet(join(folder, 'base.parquet'), { rows: VECTORS.rows, column: 'embedding' }, [VECTORS]),
  'q.npy': (_, folder) => writeNpy(join(folder, 'q.npy'), VECTORS, [VECTORS]),
  'stop-writers.sh': (_, folder) => writeProgram(join(folder, 'stop-writers.sh'), 'true'),
  'start-writers.sh': (_, folder) => writeProgram(join(folder, 'start-writers.sh'), 'true'),
  'a proxy': () => Promise.resolve(),
};

/** Names that `given: ...` knows. */
export const GIVEN_NAMES: readonly string[] = Object.keys(GIVEN);

async function writeProgram(file: string, line: string): Promise<void> {
  await writeFile(file, `#!/bin/sh\n${line}\n`, { mode: 0o700 });
}

/** A server that takes every message. */
export async function startChat(): Promise<Server> {
  const server = createServer((request, response) => {
    request.resume().once('end', () => response.end());
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  return server;
}

/** The address of a server on this machine. */
export function addressOf(server: Server): string {
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** Lines that belong together because they end with a backslash, as one line each. */
function commandsOf(code: string): string[] {
  return code
    .replaceAll('\\\n', '\\\0')
    .split('\n')
    .map((line) => line.replaceAll('\0', '\n'));
}

/** Takes the lines out that cannot run. @throws if a reason is given for a line that does not exist */
export function runnable({ name, code, linesNotRun }: PageSnippet): string {
  let commands = commandsOf(code);
  for (const words of linesNotRun.keys()) {
    const left = commands.filter((command) => !command.startsWith(words));
    if (left.length === commands.length) throw new Error(`${name}: no line begins with "${words}"`);
    commands = left;
  }
  return commands.join('\n');
}

/** Puts the test's addresses, folder and vector in the place of those that pages name. */
function inTest(
  script: string,
  { url, proxy, folder }: { url: string; proxy: string; folder: string },
): string {
  return script
    .replaceAll('http://localhost:6333', url)
    .replaceAll('localhost:6433', proxy)
    .replaceAll('/shared/', `${folder}/`)
    .replaceAll('[0.12, -0.03, ...]', JSON.stringify(vectorOf(0)));
}

async function startProxy(folder: string, env: Readonly<Record<string, string>>): Promise<Serving> {
  await writeFile(join(folder, 'serve.json'), '{}');
  return startServe(folder, ['--collection', 'docs', '--target', SMALL_DOCS, '--encoder', 'enc.onnx'], {
    env,
  });
}

async function variables(place: ShellPlace, folder: string): Promise<Record<string, string>> {
  const bin = join(folder, 'bin');
  await mkdir(bin);
  await writeProgram(join(bin, 'qdrant-tldr'), `exec '${process.execPath}' '${COMMAND}' "$@"`);
  // So that curl ends with an error for an answer that is one.
  await writeFile(join(bin, '.curlrc'), 'fail-with-body\nsilent\nshow-error\n');
  return {
    PATH: `${bin}${delimiter}${process.env['PATH'] ?? ''}`,
    CURL_HOME: bin,
    CHAT_URL: place.chatUrl,
    QDRANT_URL: place.addresses.url,
    QDRANT_API_KEY: '',
    QDRANT_TLDR_GRPC_URL: place.addresses.grpcUrl,
    QDRANT_TLDR_LISTEN_REST: ANY_PORT,
    QDRANT_TLDR_LISTEN_GRPC: ANY_PORT,
    QDRANT_TLDR_LISTEN_OPERATIONS: ANY_PORT,
  };
}

/** Runs a shell snippet in a folder of its own. @returns what it printed if it failed, or null */
export async function shellFailure(snippet: PageSnippet, place: ShellPlace): Promise<string | null> {
  const folder = await mkdtemp(join(tmpdir(), 'snippet-'));
  try {
    for (const need of snippet.given) await GIVEN[need]?.(place, folder);
    const env = await variables(place, folder);
    const serving = snippet.given.includes('a proxy') ? await startProxy(folder, env) : null;
    const proxy = serving === null ? 'localhost:6433' : new URL(serving.rest).host;
    const script = inTest(runnable(snippet), { url: place.addresses.url, proxy, folder });
    const trap = `trap 'echo "failed: $BASH_COMMAND" >&2' ERR\n`;
    const child = spawn('bash', ['-Eeuo', 'pipefail', '-c', trap + script], {
      cwd: folder,
      env,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let output = '';
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (chunk: Buffer) => (output += chunk.toString()));
    const [code] = (await once(child, 'close')) as [number | null];
    return code === 0 ? null : `${output}\nended with ${code}`;
  } finally {
    endServing();
    await removeCollections(place.addresses);
    await rm(folder, { recursive: true, force: true });
  }
}
