import { afterAll, afterEach, beforeAll, describe, expect } from '@jest/globals';
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { closeSync, constants, openSync } from 'node:fs';
import { readdir, readlink, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { openInput } from '../../../src/files/input-stream.js';
import { writeNpy } from '../../../src/files/npy.js';
import { matrix } from '../../../src/core/matrix.js';
import { DIM } from '../../support/migrate/fixtures.js';
import { openCliPlace, type CliPlace } from '../../support/cli/cli-on-test-server.js';
import { testsOn } from '../../support/server/test-server.js';

const test = await testsOn('any');

const MAIN = fileURLToPath(new URL('../../../src/cli/main.js', import.meta.url));
const POINTS = 20;
const POLL_MS = 20;
const SPARSE_BYTES = 1024 ** 3;
const LINE = JSON.stringify(Array.from({ length: DIM }, (_, i) => Math.sin(i) + 0.1));

let place: CliPlace;
const started = new Set<ChildProcess>();

/** What is no encoder, no configuration, no text. */
const ODD = ['/dev/zero', 'pipe', 'zeros', '.'];

interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly output: string;
}

/** A command, by a shell that puts pipes in place. */
function shell(command: string): { readonly child: ChildProcess; readonly ended: Promise<Ended> } {
  const { url, grpcUrl } = place.server;
  const child = spawn('bash', ['-c', command], {
    cwd: place.cwd,
    env: {
      PATH: process.env['PATH'] ?? '',
      QT: `${process.execPath} ${MAIN}`,
      QDRANT_URL: url,
      QDRANT_TLDR_GRPC_URL: grpcUrl,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  started.add(child);
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk: Buffer) => (output += chunk.toString()));
  const ended = new Promise<Ended>((resolve) => {
    child.once('close', (code, signal) => {
      started.delete(child);
      resolve({ code, signal, output });
    });
  });
  return { child, ended };
}

/** A writer that says nothing, as soon as somebody has the pipe open. */
async function silentWriter(pipe: string): Promise<number> {
  for (;;) {
    try {
      return openSync(pipe, constants.O_WRONLY | constants.O_NONBLOCK);
    } catch {
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  }
}

/** Whether a process has a file of the folder open. */
async function hasOpen(child: ChildProcess, name: string): Promise<boolean> {
  if (child.exitCode !== null) throw new Error(`it ended with ${child.exitCode}`);
  const folder = `/proc/${child.pid}/fd`;
  const links = (await readdir(folder)).map((fd) => readlink(join(folder, fd)).catch(() => ''));
  return (await Promise.all(links)).includes(join(place.cwd, name));
}

beforeAll(async () => {
  place = await openCliPlace('endless-files');
  await place.rest('PUT', '/collections/docs', { vectors: { size: DIM, distance: 'Cosine' } });
  const points = Array.from({ length: POINTS }, (_, i) => ({
    id: i + 1,
    vector: Array.from({ length: DIM }, (_, k) => Math.sin(i * 13.7 + k * k)),
  }));
  await place.rest('PUT', '/collections/docs/points?wait=true', { points });
  execFileSync('mkfifo', [join(place.cwd, 'pipe')]);
  await writeFile(join(place.cwd, 'zeros'), '');
  await truncate(join(place.cwd, 'zeros'), SPARSE_BYTES);
  await writeFile(join(place.cwd, 'line'), `${LINE}\n`);
  const x = matrix(
    POINTS,
    DIM,
    Float32Array.from({ length: POINTS * DIM }, (_, i) => Math.sin(i * i)),
  );
  await writeNpy(join(place.cwd, 'x.npy'), x, [x]);
  const migrated = await place.cli(
    'migrate',
    'start',
    'docs',
    'docs_c',
    '--encoder',
    'enc.onnx',
    '--layout',
    'compact',
    '--yes',
  );
  expect([migrated.code, migrated.stderr]).toEqual([0, expect.not.stringContaining('error')]);
});

afterEach(() => {
  for (const child of started) child.kill('SIGKILL');
});

afterAll(() => place.end());

describe('--encoder', () => {
  const ENDLESS = ['/dev/zero', 'pipe'];

  test.each([
    ['project --input line --encoder', ODD],
    ['evaluate --base x.npy --encoder', ENDLESS],
    ['evaluate docs docs_c --encoder', ENDLESS],
    ['search docs_c --query line --encoder', ENDLESS],
    ['migrate start docs other --yes --encoder', ENDLESS],
    ['migrate resume docs docs_c --yes --encoder', ENDLESS],
    ['migrate verify docs docs_c --encoder', ENDLESS],
    ['migrate cutover docs docs_c --alias name --catch-up --encoder', ENDLESS],
    ['serve --collection docs --target docs_c --check --encoder', ODD],
  ])('%s refuses %j, at once and with words', async (command, files) => {
    for (const odd of files) {
      const { code, output } = await shell(`exec $QT ${command} ${odd}`).ended;
      const words = expect.stringMatching(/error: .*(expected an encoder file|no encoder file)/) as unknown;
      expect([odd, code, output]).toEqual([odd, odd === 'zeros' ? 3 : 2, words]);
      expect(output).not.toContain('    at ');
    }
  });
});

describe('text', () => {
  test.each([
    'project --encoder enc.onnx --input',
    'search docs_c --encoder enc.onnx --query',
    'evaluate docs docs_c --encoder enc.onnx --queries',
  ])('%s takes a pipe and standard input', async (command) => {
    for (const given of [`${command} <(cat line)`, `${command} - < line`, `${command} /dev/stdin < line`]) {
      const { code, output } = await shell(`exec $QT ${given}`).ended;
      expect([given, code, output]).toEqual([given, 0, expect.not.stringContaining('error')]);
    }
  });

  test.each([
    'project --encoder enc.onnx --input',
    'search docs_c --encoder enc.onnx --query',
    'evaluate --base x.npy --encoder enc.onnx --labels',
  ])('%s is bounded', async (command) => {
    const endless = await shell(`exec $QT ${command} <(exec tr '\\0' '1' < /dev/zero)`).ended;
    expect([endless.code, endless.output]).toEqual([3, expect.stringContaining('longer than')]);
    const device = await shell(`exec $QT ${command} /dev/zero`).ended;
    expect([device.code, device.output]).toEqual([2, expect.stringContaining('is a device')]);
  });

  test('labels without an end are bounded by their number', async () => {
    const { code, output } = await shell(
      'exec $QT evaluate --base x.npy --encoder enc.onnx --labels <(exec yes)',
    ).ended;
    expect([code, output]).toEqual([3, expect.stringContaining('it holds more than 5000000 labels')]);
  });

  test.each([
    'project --encoder enc.onnx --input',
    'search docs_c --encoder enc.onnx --query',
    'evaluate docs docs_c --encoder enc.onnx --queries',
    'evaluate --base x.npy --encoder enc.onnx --labels',
    'evaluate docs docs_c --encoder enc.onnx --queries line --qrels',
    'train docs --dim 4 --out e.onnx --objective relevance --labels',
  ])('%s waits for a pipe, and SIGTERM ends the wait', async (command) => {
    const { child, ended } = shell(`exec $QT ${command} pipe`);
    const writer = await silentWriter(join(place.cwd, 'pipe'));
    try {
      child.kill('SIGTERM');
      const { code, output } = await ended;
      expect([code, output]).toEqual([130, expect.stringContaining('stopped')]);
    } finally {
      closeSync(writer);
    }
  });

  test('a pipe that has no writer yet is waited for, until a signal fires', async () => {
    const pipe = join(place.cwd, 'pipe');
    const controller = new AbortController();
    const opening = openInput(pipe, controller.signal);
    controller.abort();
    await expect(opening).rejects.toMatchObject({ code: 'ABORTED' });
    const { child, ended } = shell('exec $QT project --encoder enc.onnx --input pipe');
    const writer = await silentWriter(pipe);
    execFileSync('bash', ['-c', 'cat line > pipe'], { cwd: place.cwd });
    closeSync(writer);
    expect(await ended).toMatchObject({ code: 0, output: expect.stringMatching(/^\[.*\]\n$/) });
    expect(child.exitCode).toBe(0);
  });
});

describe('small files', () => {
  test.each(ODD)('%s is no configuration, no key, no certificate and no migration state', async (odd) => {
    await writeFile(join(place.cwd, 'tls.json'), JSON.stringify({ tlsCert: odd, tlsKey: 'line' }));
    const commands = [
      `config --config ${odd}`,
      'config',
      'serve --check --config tls.json',
      `migrate status docs docs_c --record ${odd}`,
    ];
    for (const command of commands) {
      const key = command === 'config' ? `QDRANT_TLDR_API_KEY_FILE=${odd}` : '';
      const { code, output } = await shell(`${key} exec $QT ${command}`.trim()).ended;
      expect([command, odd, code, output]).toEqual([
        command,
        odd,
        odd === 'zeros' && command.startsWith('serve') ? 3 : 2,
        expect.stringContaining('error: '),
      ]);
      expect(output).not.toContain('    at ');
    }
    await rm(join(place.cwd, 'tls.json'));
  });

  test('a configuration and a key are read from pipes, also twice', async () => {
    const config = `{"collections": {"docs": {"target": "docs_c", "encoder": "${place.cwd}/enc.onnx"}}}`;
    await writeFile(join(place.cwd, 'pipe.json'), config);
    const served = await shell('exec $QT serve --check --config <(sleep 0.1; cat pipe.json)').ended;
    expect([served.code, served.output]).toEqual([0, expect.stringContaining('all checks passed')]);
    const key = await shell('QDRANT_TLDR_API_KEY_FILE=<(echo a; echo b) exec $QT config').ended;
    expect([key.code, key.output]).toEqual([2, expect.stringContaining('key')]);
  });
});

(process.platform === 'linux' ? describe : describe.skip)('small files on Linux', () => {
  test('SIGTERM ends the wait for a configuration', async () => {
    const { child, ended } = shell('exec $QT config --config pipe');
    // Without a writer a pipe is empty: this one is there first.
    const writer = openSync(join(place.cwd, 'pipe'), constants.O_RDWR | constants.O_NONBLOCK);
    try {
      while (!(await hasOpen(child, 'pipe'))) await new Promise((resolve) => setTimeout(resolve, POLL_MS));
      child.kill('SIGTERM');
      expect(await ended).toMatchObject({ code: null, signal: 'SIGTERM' });
    } finally {
      closeSync(writer);
    }
  });
});
