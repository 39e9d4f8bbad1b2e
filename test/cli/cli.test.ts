import { afterAll, describe, expect, test } from '@jest/globals';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readNpy, writeNpy } from '../../src/files/npy.js';
import { Encoder } from '../../src/encoder/model.js';
import { matrix, rowRange } from '../../src/core/matrix.js';
import { Rng } from '../../src/core/rng.js';
import { DIM, tinyEncoder } from '../support/migrate/fixtures.js';
import { candidateLabel } from '../../src/cli/train/candidate-names.js';
import { runCli } from '../support/cli/run-cli.js';

const cwd = await mkdtemp(join(tmpdir(), 'qdrant-tldr-cli-'));
afterAll(() => rm(cwd, { recursive: true }));

const rng = new Rng(2);
const x = matrix(600, DIM);
x.data.forEach((_, i) => (x.data[i] = rng.normal() * 0.8 ** (i % DIM)));
await writeNpy(join(cwd, 'base.npy'), x, [x]);
const few = rowRange(x, 0, 50);
await writeNpy(join(cwd, 'few.npy'), few, [few]);
const broken = matrix(600, DIM, Float32Array.from(x.data));
broken.data[7 * DIM + 1] = Number.NaN;
await writeNpy(join(cwd, 'nan.npy'), broken, [broken]);
await tinyEncoder().save(join(cwd, 'tiny.onnx'));

const TRAIN = ['train', '--input', 'base.npy', '--dim', '4', '--k', '5', '--threads', '1'];

describe('every command', () => {
  test.each([
    'demo',
    'shrink',
    'inspect',
    'train',
    'plan',
    'migrate',
    'evaluate',
    'search',
    'project',
    'config',
  ])('%s explains itself', async (command) => {
    const { code, stdout } = await runCli([command, '--help'], { cwd });
    expect(code).toBe(0);
    expect(stdout).toContain(`Usage: qdrant-tldr ${command}`);
    expect(stdout).toContain('--json');
  });

  test('nothing is said on standard error: Node knows the flag by which the heap grows', async () => {
    const { code, stderr } = await runCli(['--version'], { cwd });
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  });

  test('an unknown option, command or value is a usage error', async () => {
    for (const args of [
      ['train', '--nope'],
      ['nope'],
      ['train', '--input', 'base.npy', '--dim', 'x', '--out', 'o'],
      [...TRAIN, '--out', 'o', '--loss', 'x'],
      [...TRAIN, '--out', 'o', '--seed', '4294967296'],
      ['plan', 'docs', '--target', 'recall>=2'],
      ['plan', 'docs', '--target', 'recall@10>=97'],
      ['plan', 'docs', '--dims', '32,x'],
      ['plan', 'docs', '--datatypes', 'int4'],
      ['migrate', 'a', 'b', '--encoder', 'tiny.onnx', '--datatype', 'uint8'],
      ['migrate', 'a', 'b', '--encoder', 'tiny.onnx', '--quantization', 'octal'],
    ]) {
      const { code, stderr } = await runCli(args, { cwd });
      expect(code).toBe(2);
      expect(stderr).toContain('error:');
    }
  });
});

test('a usage error is an object, too, where --json asks for one', async () => {
  for (const [args, message] of [
    [['config', '--nope', '--json'], "unknown option '--nope'"],
    [['search', 'docs', '--json'], 'required option'],
    [['--json'], 'unknown option'],
  ] as const) {
    const { code, json } = await runCli(args, { cwd });
    expect({ code, ...json() }).toMatchObject({
      code: 2,
      error: { code: 'INVALID_ARGUMENT', message: expect.stringContaining(message) },
    });
  }
  expect((await runCli(['config', '--help', '--json'], { cwd })).code).toBe(0);
});

test('--yes is taken by commands that ask nothing', async () => {
  expect((await runCli(['config', '--yes'], { cwd })).code).toBe(0);
  const project = ['project', '--encoder', 'tiny.onnx', '--input', 'base.npy', '--out', 'yes.npy', '--yes'];
  expect((await runCli(project, { cwd })).code).toBe(0);
  expect((await runCli([...TRAIN, '--out', 'yes.onnx', '--dry-run', '--yes'], { cwd })).code).toBe(0);
  expect((await runCli(['inspect', 'docs', '--yes', '--url', 'nowhere'], { cwd })).stderr).toContain(
    'is not the address of a database',
  );
});

test.each([
  [['config'], 'http://********@nowhere.invalid:1'],
  [['inspect', 'docs'], 'the address contains credentials'],
  [['demo', '--dry-run'], 'http://********@nowhere.invalid:1'],
  [['demo', '--yes'], 'the address contains credentials'],
])('%j shows no password of an address', async (args, shown) => {
  const env = { QDRANT_URL: 'http://someone:s3cret@nowhere.invalid:1' };
  const { stdout, stderr } = await runCli(args, { cwd, env });
  expect(stdout + stderr).toContain(shown);
  expect(stdout + stderr).not.toContain('s3cret');
  const malformed = await runCli(args, { cwd, env: { QDRANT_URL: 'someone:s3cret@nowhere' } });
  expect(malformed.stdout + malformed.stderr).not.toContain('s3cret');
});

test('config prints values, where they come from, and no secret', async () => {
  const { code, json, stdout } = await runCli(['config', '--json'], {
    cwd,
    env: { QDRANT_API_KEY: 'hidden-key', QDRANT_TLDR_CONCURRENCY: '5' },
  });
  expect(code).toBe(0);
  expect(json()).toMatchObject({
    concurrency: { value: 5, from: 'QDRANT_TLDR_CONCURRENCY' },
    apiKey: { value: '********' },
  });
  expect(stdout).not.toContain('hidden-key');
  expect((await runCli(['config'], { cwd, env: { QDRANT_TLDR_NOPE: '1' } })).code).toBe(2);
});

describe('train', () => {
  test('learns from a .npy file, reports every candidate and saves the encoder', async () => {
    const { code, json, stderr } = await runCli([...TRAIN, '--steps', '10', '--out', 'enc.onnx', '--json'], {
      cwd,
    });
    expect(code).toBe(0);
    expect(stderr).toContain('recall@10');
    const report = json();
    expect(report['candidates']).toHaveLength(9);
    const encoder = await Encoder.load(join(cwd, 'enc.onnx'));
    expect(encoder.fingerprint).toBe(report['fingerprint']);
    expect([encoder.inputDim, encoder.outputDim]).toEqual([DIM, 4]);
    const again = await runCli([...TRAIN, '--steps', '10', '--out', 'enc.onnx', '--json'], { cwd });
    expect(again.code).toBe(5);
    expect(again.json()).toMatchObject({ error: { code: 'ALREADY_EXISTS' } });
  });

  test.each([
    [['train', '--dim', '4', '--out', 'bad.onnx'], 2, 'either a collection or --input'],
    [['train', '--input', 'base.npy', '--dim', '16', '--out', 'bad.onnx'], 2, 'from 1 to 15'],
    [['train', '--input', 'missing.npy', '--dim', '4', '--out', 'bad.onnx'], 4, 'cannot open missing.npy'],
    [['train', '--input', 'tiny.onnx', '--dim', '4', '--out', 'bad.onnx'], 3, 'no usable .npy file'],
    [[...TRAIN, '--encoder', 'tree', '--out', 'bad.onnx'], 2, 'is no architecture'],
    [[...TRAIN, '--lr', '-1', '--out', 'bad.onnx'], 2, '--lr: got -1'],
    [[...TRAIN, '--out', 'bad.onnx', '--held-out', '400', '--dry-run'], 2, '--held-out: got 400'],
    [['train', '--input', 'nan.npy', '--dim', '4', '--out', 'bad.onnx', '--dry-run'], 3, 'row 7 of nan.npy'],
    [['train', '--input', 'few.npy', '--dim', '4', '--out', 'bad.onnx', '--dry-run'], 3, 'only 50 distinct'],
    [['train', '--input', '.', '--dim', '4', '--out', 'bad.onnx'], 2, '. is a folder'],
    [
      ['project', '--encoder', 'base.npy', '--input', 'base.npy', '--out', 'bad.npy'],
      3,
      'base.npy is no encoder',
    ],
    [['shrink', 'a', '--dry-run', '--text-field', 'none'], 2, '--text-field is about the page'],
    [['migrate', 'a', 'b', '--encoder', 'tiny.onnx', '--lag-max', '3'], 2, '--lag-max needs --catch-up'],
    [
      ['migrate', 'a', 'b', '--encoder', 'tiny.onnx', '--layout', 'compact', '--compact-name', 'c'],
      2,
      'needs --layout two-stage',
    ],
    [['migrate', 'a', 'b', '--encoder', 'tiny.onnx', '--max-load', '1x', '--dry-run'], 2, 'expected 2x'],
    [
      ['migrate', 'a', 'b', '--encoder', 'tiny.onnx', '--dry-run', '--on', 'never', 'true'],
      2,
      'no such event',
    ],
    [
      ['train', 'docs', '--dim', '4', '--out', 'bad.onnx', '--url', 'localhost'],
      2,
      'is not the address of a database',
    ],
  ])('%j is refused and writes nothing', async (args, code, message) => {
    const before = await readdir(cwd);
    const result = await runCli(args, { cwd });
    expect(result).toMatchObject({ code, stderr: expect.stringContaining(message) });
    expect(await readdir(cwd)).toEqual(before);
  });

  test('writes a report that names what ships and the command', async () => {
    const args = [...TRAIN, '--steps', '5', '--out', 'page.onnx', '--report', 'page.html', '--json'];
    const { code, json } = await runCli(args, { cwd });
    expect(code).toBe(0);
    const page = await readFile(join(cwd, 'page.html'), 'utf8');
    expect(page).toContain(`The saved encoder is “${candidateLabel(String(json()['shipped']))}”.`);
    expect(page).toMatch(/<h2 class="headline">Search finds [^<]*the same results with /);
    expect(page.replace(/<\/?span>/g, '')).toContain('qdrant-tldr train --input base.npy');
    const again = await runCli([...TRAIN, '--out', 'page2.onnx', '--report', 'page.html'], { cwd });
    expect(again).toMatchObject({ code: 5, stderr: expect.stringContaining('page.html exists') });
  });

  test('labels choose by relevance', async () => {
    const labels = Array.from({ length: 600 }, (_, i) => `group ${i % 3}`).join('\n');
    await writeFile(join(cwd, 'labels.txt'), labels);
    const args = [...TRAIN, '--steps', '5', '--out', 'labelled.onnx', '--json', '--objective', 'relevance'];
    const { code, json } = await runCli([...args, '--labels', 'labels.txt'], { cwd });
    expect({ code, ...json() }).toMatchObject({ code: 0, objective: 'mAP@100' });
  });

  test.each([
    [['--objective', 'relevance'], '--objective relevance needs --labels'],
    [['--qrels', 'q.tsv', '--objective', 'relevance'], '--qrels needs the vectors of its queries'],
    [['--labels', 'missing.txt'], 'cannot open missing.txt'],
    [['--labels', 'missing.txt', '--objective', 'relevance'], 'cannot open missing.txt'],
    [['--report', 'refused.onnx'], 'must be different files'],
    [['--auto'], '--auto plans the trainings itself'],
    [['--budget', '2 days'], 'expected a time such as'],
    [['--preset', 'reference', '--loss', 'neighbourhood-kl'], 'leave out --loss'],
    [['--epochs', '2', '--steps', '3'], 'cannot be used with'],
    [['--ship', 'nothing', '--dry-run'], 'ship: nothing is not among the candidates'],
  ])('%j is refused', async (flags, message) => {
    const { code, stderr } = await runCli([...TRAIN, '--out', 'refused.onnx', ...flags], { cwd });
    expect(code === 2 || code === 4).toBe(true);
    expect(stderr).toContain(message);
  });

  test('a dry run writes nothing', async () => {
    const before = await readdir(cwd);
    const { code, json } = await runCli([...TRAIN, '--out', 'dry.onnx', '--dry-run', '--json'], { cwd });
    expect({ code, ...json() }).toMatchObject({ code: 0, dryRun: true, inputDim: DIM, outputDim: 4 });
    expect(await readdir(cwd)).toEqual(before);
  });

  test('Ctrl-C stops it, and the same command goes on to what it would have been', async () => {
    const train = [...TRAIN, '--ship', 'neighbourhood-kl', '--steps', '3000'];
    const stopped = await runCli([...train, '--out', 'stopped.onnx', '--checkpoint', 'state.bin'], {
      cwd,
      interruptOn: 'training neighbourhood-kl:',
    });
    expect(stopped).toMatchObject({
      code: 130,
      stderr: expect.stringContaining('run the same command again'),
    });
    expect(await readdir(cwd)).not.toContain('stopped.onnx');
    expect(
      (await runCli([...train, '--out', 'stopped.onnx', '--checkpoint', 'state.bin'], { cwd })).code,
    ).toBe(0);
    expect((await runCli([...train, '--out', 'whole.onnx'], { cwd })).code).toBe(0);
    expect(
      Buffer.compare(await readFile(join(cwd, 'stopped.onnx')), await readFile(join(cwd, 'whole.onnx'))),
    ).toBe(0);
  });
});

describe('project', () => {
  test('.npy and lines give the same vectors', async () => {
    expect(
      (await runCli(['project', '--encoder', 'tiny.onnx', '--input', 'base.npy', '--out', 'z.npy'], { cwd }))
        .code,
    ).toBe(0);
    const z = await readNpy(join(cwd, 'z.npy'));
    expect([z.rows, z.cols]).toEqual([600, 4]);
    expect(z.data).toEqual(tinyEncoder().project(x).data);
    const line = JSON.stringify(Array.from(x.data.subarray(0, DIM)));
    const { stdout } = await runCli(['project', '--encoder', 'tiny.onnx'], {
      cwd,
      input: `${line}\n\n${line}\n`,
    });
    const rows = stdout
      .trim()
      .split('\n')
      .map((text) => JSON.parse(text) as number[]);
    expect(rows).toHaveLength(2);
    expect(Float32Array.from(rows[1]!)).toEqual(z.data.subarray(0, 4));
  });

  test.each([
    ['[1,2]', 'line 1: expected an array of 16 finite numbers'],
    ['{', 'line 1 is no JSON'],
  ])('%s on a line is refused by its number, and no file is left', async (input, message) => {
    const before = await readdir(cwd);
    const result = await runCli(['project', '--encoder', 'tiny.onnx', '--out', 'lines.ndjson'], {
      cwd,
      input,
    });
    expect(result).toMatchObject({ code: 3, stderr: expect.stringContaining(message) });
    expect(await readdir(cwd)).toEqual(before);
  });

  test('the wrong dimension is a mismatch, a file that is no encoder unusable data', async () => {
    const wide = matrix(3, 5);
    await writeNpy(join(cwd, 'wide.npy'), wide, [wide]);
    expect(
      (await runCli(['project', '--encoder', 'tiny.onnx', '--input', 'wide.npy', '--out', 'w.npy'], { cwd }))
        .code,
    ).toBe(9);
    await writeFile(join(cwd, 'fake.onnx'), 'fake');
    expect(
      (await runCli(['project', '--encoder', 'fake.onnx', '--input', 'base.npy', '--out', 'w.npy'], { cwd }))
        .code,
    ).toBe(3);
  });
});
