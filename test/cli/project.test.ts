import { afterAll, describe, expect, test } from '@jest/globals';
import { spawn, spawnSync } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { readNpy, writeNpy } from '../../src/files/npy.js';
import { matrix } from '../../src/core/matrix.js';
import { DIM, tinyEncoder, twoMaps } from '../support/migrate/fixtures.js';
import { runCli, type CliResult } from '../support/cli/run-cli.js';

const cwd = await mkdtemp(join(tmpdir(), 'qdrant-tldr-project-'));
afterAll(() => rm(cwd, { recursive: true }));
const encoder = tinyEncoder(1, 'euclid');
await encoder.save(join(cwd, 'tiny.onnx'));
const line = JSON.stringify(Array.from({ length: DIM }, (_, i) => i + 0.5));
const ones = (value: string): string => `[${Array.from({ length: DIM }, () => value).join()}]`;
await writeFile(join(cwd, 'lines.ndjson'), `${line}\n`.repeat(5));

const project = (args: string[], options: Partial<Parameters<typeof runCli>[1]> = {}): Promise<CliResult> =>
  runCli(['project', '--encoder', 'tiny.onnx', ...args], { cwd, ...options });

describe('numbers', () => {
  test('a value that float32 cannot hold is refused by its line', async () => {
    const result = await project([], { input: `${line}\n${ones('1e39')}\n` });
    expect(result).toMatchObject({ code: 3, stderr: expect.stringContaining('line 2: expected an array') });
    expect(result.stdout).not.toContain('null');
    expect((await project([], { input: ones('3e38') })).stderr).toContain('too large to be projected');
  });

  test('a row of a .npy file whose projection overflows is refused, in a dry run, too', async () => {
    const big = matrix(3, DIM);
    big.data.fill(3e38, 2 * DIM);
    await writeNpy(join(cwd, 'big.npy'), big, [big]);
    const args = ['--input', 'big.npy', '--out', 'big-z.npy'];
    for (const more of [[], ['--dry-run']]) {
      const result = await project([...args, ...more]);
      expect(result).toMatchObject({ code: 3, stderr: expect.stringContaining('row 2 of big.npy') });
    }
    expect(await readdir(cwd)).not.toContain('big-z.npy');
  });
});

describe('files', () => {
  test('lines go into a file, whose folder is made', async () => {
    const { code, json } = await project(['--input', 'lines.ndjson', '--out', 'new/z.ndjson', '--json']);
    expect({ code, ...json() }).toEqual({
      code: 0,
      rows: 5,
      inputDim: DIM,
      outputDim: 4,
      out: 'new/z.ndjson',
    });
    const text = await readFile(join(cwd, 'new', 'z.ndjson'), 'utf8');
    const z = encoder.project(matrix(1, DIM, Float32Array.from(JSON.parse(line) as number[])));
    expect(text.trimEnd().split('\n')).toEqual(Array(5).fill(JSON.stringify([...z.data])));
    expect(await readdir(join(cwd, 'new'))).toEqual(['z.ndjson']);
  });

  test.each([
    ['UTF-8 with a byte order mark', Buffer.from(`\uFEFF${line}\r\n${line}\r\n`)],
    ['UTF-16', Buffer.from(`\uFEFF${line}\n${line}`, 'utf16le')],
    ['UTF-16, big end first', Buffer.from(`\uFEFF${line}\r${line}\r`, 'utf16le').swap16()],
  ])('lines may be %s', async (_, bytes) => {
    await writeFile(join(cwd, 'encoded.ndjson'), bytes);
    const { code, stdout } = await project(['--input', 'encoded.ndjson']);
    const plain = await project([], { input: `${line}\n${line}\n` });
    expect({ code, stdout }).toEqual({ code: 0, stdout: plain.stdout });
  });

  test('a text of another encoding is named', async () => {
    await writeFile(join(cwd, 'bare.ndjson'), Buffer.from(line, 'utf16le'));
    expect(await project(['--input', 'bare.ndjson'])).toMatchObject({
      code: 3,
      stderr: expect.stringContaining('bare.ndjson: it holds NUL characters'),
    });
  });

  test('--as-queries takes the map of queries; without it points are projected, which is said', async () => {
    const two = twoMaps(encoder);
    await two.save(join(cwd, 'two.onnx'));
    const x = matrix(1, DIM, Float32Array.from(JSON.parse(line) as number[]));
    await writeNpy(join(cwd, 'x.npy'), x, [x]);
    const run = (...args: string[]): Promise<CliResult> =>
      runCli(['project', '--encoder', 'two.onnx', ...args], { cwd, input: line });
    const [asPoints, asQueries] = [await run(), await run('--as-queries')];
    expect(JSON.parse(asPoints.stdout)).toEqual([...two.project(x).data]);
    expect(asPoints.stderr).toContain('another map for queries');
    expect(JSON.parse(asQueries.stdout)).toEqual([...two.projectQueries(x).data]);
    expect((await run('--input', 'x.npy', '--out', 'xz.npy', '--as-queries')).code).toBe(0);
    expect((await readNpy(join(cwd, 'xz.npy'))).data).toEqual(two.projectQueries(x).data);
  });

  test.each([
    [['--input', 'missing.ndjson'], 4, 'cannot open missing.ndjson'],
    [['--input', '.'], 2, 'is a folder'],
    [['--input', 'lines.ndjson', '--out', '/dev/null/z'], 2, 'cannot write /dev/null/z'],
    [['--input', 'lines.ndjson', '--out', 'z.npy'], 2, 'lines of JSON cannot become .npy'],
    [['--input', 'big.npy', '--out', '/dev/null/z.npy'], 2, 'cannot write /dev/null/z.npy'],
  ])('%j is a mistake of the caller and said as one', async (args, code, message) => {
    const before = await readdir(cwd);
    const result = await project(args);
    expect(result).toMatchObject({ code, stderr: expect.stringContaining(message) });
    expect(result.stderr).not.toContain('    at ');
    expect(await readdir(cwd)).toEqual(before);
  });

  test('a query file that is missing is not found', async () => {
    const args = ['search', 'docs', '--encoder', 'tiny.onnx', '--query', 'missing.json'];
    const result = await runCli(args, { cwd });
    expect(result).toMatchObject({ code: 4, stderr: expect.stringContaining('cannot open missing.json') });
    expect(result.stderr).not.toContain('    at ');
  });

  test.each([['lines.ndjson'], ['lines.ndjson', '--out', 'dry.ndjson']])(
    'a dry run of %s %s says what would happen and writes nothing',
    async (...args) => {
      const before = await readdir(cwd);
      const result = await project(['--input', ...args, '--dry-run', '--json']);
      expect(result.json()).toMatchObject({ dryRun: true, rows: 5 });
      expect(result.stderr).toContain('would project 5 vectors');
      expect(result.stdout.trimEnd().split('\n')).toHaveLength(1);
      expect(await readdir(cwd)).toEqual(before);
    },
  );
});

describe('pipes', () => {
  test('a reader that goes away ends it quietly', async () => {
    const input = `${line}\n`.repeat(50_000);
    const { code, stderr } = await project([], { input, closeOutputEarly: true });
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  });

  test('a bad line ends it though the producer goes on', async () => {
    const result = await project([], { input: `${line}\nnonsense\n`, keepInputOpen: true });
    expect(result).toMatchObject({ code: 3, stderr: expect.stringContaining('line 2 is no JSON') });
    expect((await project(['--out', 'z'], { input: '{\n', keepInputOpen: true })).code).toBe(3);
  });

  test('one Ctrl-C ends it at an idle pipe', async () => {
    const main = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url));
    const child = spawn(process.execPath, [main, 'project', '--encoder', 'tiny.onnx'], { cwd });
    const ended = new Promise<number | null>((resolve) => child.once('close', resolve));
    // A whole block comes back at once; after it nothing more is said.
    child.stdout.once('data', () => child.kill('SIGINT'));
    child.stdout.resume();
    child.stdin.write(`${line}\n`.repeat(2048));
    expect(await ended).toBe(130);
  });

  test('progress is said after two seconds, on a pipe without a known end', async () => {
    const main = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url));
    const child = spawn(process.execPath, [main, 'project', '--encoder', 'tiny.onnx'], { cwd });
    let stderr = '';
    const said = new Promise<void>((resolve) => {
      child.stderr.on('data', (chunk: Buffer) => {
        stderr += chunk.toString();
        if (stderr.includes('projecting: ')) resolve();
      });
    });
    const ended = new Promise((resolve) => child.once('close', resolve));
    child.stdout.resume();
    const feeding = setInterval(() => child.stdin.write(`${line}\n`), 100);
    await said;
    clearInterval(feeding);
    child.stdin.end();
    await ended;
    expect(stderr).toMatch(/^projecting: \d+ vectors, \d+\.\d\/s\n$/);
  });
});

test('output that cannot be written is an error, not a success', () => {
  const main = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url));
  const command = `"${process.execPath}" "${main}" project --encoder tiny.onnx --input lines.ndjson > /dev/full`;
  const { status, stderr } = spawnSync('sh', ['-c', command], { cwd, encoding: 'utf8' });
  expect(stderr).toContain('cannot write to standard output');
  expect(status).toBe(2);
});

describe('the question before writing', () => {
  const PTY = `
import os, pty, sys, time
pid, fd = pty.fork()
if pid == 0:
    os.execv(sys.argv[1], sys.argv[1:3])
text = b''
sent = False
while True:
    try:
        chunk = os.read(fd, 1024)
    except OSError:
        break
    if not chunk:
        break
    text += chunk
    if b'[y/N]' in text and not sent:
        sent = True
        os.write(fd, sys.argv[3].encode())
sys.stdout.write(text.decode())
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
`;

  test.each([
    ['Ctrl-C', '\x03', 'ended: ABORTED'],
    ['Ctrl-D', '\x04', 'ended: ABORTED'],
    ['no', 'n\n', 'ended: ABORTED'],
    ['yes', 'y\n', 'ended: yes'],
  ])('%s is an answer', (_name, keys, ended) => {
    const child = fileURLToPath(new URL('../support/cli/terminal-question-child.js', import.meta.url));
    const { status, stdout, error } = spawnSync('python3', ['-c', PTY, process.execPath, child, keys], {
      encoding: 'utf8',
    });
    if (error !== undefined) {
      process.stderr.write(
        `skipped: a terminal is made with python3, which does not run here: ${error.message}\n`,
      );
      return;
    }
    expect(stdout).toContain(ended);
    expect(status).toBe(0);
  });
});
