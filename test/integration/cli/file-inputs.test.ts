import { afterAll, beforeAll, describe, expect } from '@jest/globals';
import type { Command } from 'commander';
import { execFileSync } from 'node:child_process';
import { mkdir, open, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { configCommand } from '../../../src/cli/config-command.js';
import { demoCommand } from '../../../src/cli/demo/command.js';
import { evaluateCommand } from '../../../src/cli/evaluate/command.js';
import { inspectCommand } from '../../../src/cli/inspect.js';
import { migrateCommand } from '../../../src/cli/migrate/command.js';
import { planCommand } from '../../../src/cli/plan/command.js';
import { projectCommand } from '../../../src/cli/project.js';
import { sqlCommand } from '../../../src/cli/sql.js';
import { searchCommand } from '../../../src/cli/search.js';
import { serveCommand } from '../../../src/cli/serve/command.js';
import { shrinkCommand } from '../../../src/cli/shrink/command.js';
import { trainCommand } from '../../../src/cli/train/command.js';
import { isTldrError, messageOf } from '../../../src/core/errors.js';
import { matrix } from '../../../src/core/matrix.js';
import { writeNpy } from '../../../src/files/npy.js';
import { FILE_INPUTS, FILE_OUTPUTS, type FileInput, type InputKind } from '../../support/cli/file-inputs.js';
import { integerNpy, npyBytes } from '../../support/cli/npy-fixtures.js';
import { DIM, tinyEncoder } from '../../support/migrate/fixtures.js';
import { testsOn } from '../../support/server/test-server.js';
import { openCliPlace, type CliPlace } from '../../support/cli/cli-on-test-server.js';

const test = await testsOn('any');

const COMMANDS = [
  configCommand,
  demoCommand,
  evaluateCommand,
  inspectCommand,
  migrateCommand,
  planCommand,
  projectCommand,
  sqlCommand,
  searchCommand,
  serveCommand,
  shrinkCommand,
  trainCommand,
];
const POINTS = 40;
const HOLE_BYTES = 1024 ** 4;
/** More than any of these refusals may take. The files would take from one gigabyte up to a terabyte. */
const MEMORY_BYTES_MAX = 400 * 1024 ** 2;

let place: CliPlace;

/** What is given instead of a file, for each way of reading. */
const ODD: Readonly<Record<InputKind, readonly string[]>> = {
  regular: ['pipe', 'zero', 'folder', 'hole', 'checkpoint'],
  npy: ['pipe.npy', 'zero.npy', 'folder.npy', 'hole.npy', 'columns.npy', 'one-column.npy'],
  table: [
    'zero',
    'folder',
    'hole',
    'pipe.npy',
    'zero.npy',
    'folder.npy',
    'hole.npy',
    'columns.npy',
    'integers.npy',
    'many-integers.npy',
  ],
  text: ['zero', 'folder', 'hole'],
  small: ['pipe', 'zero', 'folder', 'hole'],
  state: ['pipe', 'zero', 'folder', 'hole'],
};

/** A file with a hole, which takes no room on the disk. */
async function withHole(name: string, head: Uint8Array, sizeBytes: number): Promise<void> {
  const file = await open(join(place.cwd, name), 'w');
  await file.writeFile(head);
  await file.truncate(head.length + sizeBytes);
  await file.close();
}

function npyHead(descr: string, shape: string): Buffer {
  return npyBytes(`{'descr': '${descr}', 'fortran_order': False, 'shape': ${shape}, }\n`, new Uint8Array());
}

async function makeOddFiles(): Promise<void> {
  const at = (name: string): string => join(place.cwd, name);
  execFileSync('mkfifo', [at('pipe'), at('pipe.npy')]);
  for (const ending of ['', '.npy']) {
    await symlink('/dev/zero', at(`zero${ending}`));
    await mkdir(at(`folder${ending}`));
    await withHole(`hole${ending}`, new Uint8Array(), HOLE_BYTES);
  }
  const columns = 2 ** 33;
  await withHole('columns.npy', npyHead('<f4', `(2, ${columns})`), 8 * columns);
  await withHole('one-column.npy', npyHead('<f4', `(${2 ** 34}, 1)`), 4 * 2 ** 34);
  await withHole('integers.npy', npyHead('|u1', '(1000000000,)'), 1e9);
  await withHole('many-integers.npy', npyHead('<i8', `(${2 ** 36},)`), 8 * 2 ** 36);
  const head = Buffer.alloc(12);
  head.write('TLDRCKP1');
  head.writeUInt32LE(1.2e9, 8);
  await withHole('checkpoint', head, 1.5e9);
}

function subcommand(path: string): Command {
  const [name, verb] = path.split(' ');
  const found = COMMANDS.map((make) => make()).find((command) => command.name() === name);
  const command = verb === undefined ? found : found?.commands.find((one) => one.name() === verb);
  if (command === undefined) throw new Error(`no command ${path}`);
  return command.exitOverride().configureOutput({ writeErr: () => undefined });
}

/** Runs a command in this process, in the place's folder, and returns its error. */
async function failureOf({ command, flag, before }: FileInput, odd: string): Promise<unknown> {
  const local = ['project', 'config', 'sql'].includes(command);
  const { url, grpcUrl } = place.server;
  const words = [...before, flag, odd].map((word) =>
    /\.(npy|onnx|json)$/.test(word) || word === odd ? join(place.cwd, word) : word,
  );
  const address = local ? [] : ['--url', url, '--grpc-url', grpcUrl];
  try {
    await subcommand(command).parseAsync([...words, ...address], { from: 'user' });
    return null;
  } catch (error) {
    return error;
  }
}

beforeAll(async () => {
  place = await openCliPlace('file-inputs');
  await place.rest('PUT', '/collections/docs', { vectors: { size: DIM, distance: 'Cosine' } });
  const x = matrix(
    POINTS,
    DIM,
    Float32Array.from({ length: POINTS * DIM }, (_, i) => Math.sin(i * i)),
  );
  const points = Array.from({ length: POINTS }, (_, i) => ({
    id: i + 1,
    vector: [...x.data.subarray(i * DIM, (i + 1) * DIM)],
  }));
  await place.rest('PUT', '/collections/docs/points?wait=true', { points });
  await writeNpy(join(place.cwd, 'x.npy'), x, [x]);
  const labels = Array.from({ length: POINTS }, (_, i) => i % 3);
  await writeFile(join(place.cwd, 'labels.npy'), integerNpy('<i4', labels));
  const words = [
    'docs',
    'docs_c',
    '--encoder',
    'enc.onnx',
    '--layout',
    'compact',
    '--record',
    'state.json',
    '--yes',
  ];
  const migrated = await place.cli('migrate', 'start', ...words);
  expect(migrated.code).toBe(0);
  const words2 = [
    'docs',
    'docs_2s',
    '--layout',
    'two-stage',
    '--encoder',
    'enc.onnx',
    '--record',
    '2s.json',
    '--yes',
  ];
  expect((await place.cli('migrate', 'start', ...words2)).code).toBe(0);
  await tinyEncoder(2).save(join(place.cwd, 'other.onnx'));
  await makeOddFiles();
});

afterAll(() => place.end());

test('the table holds every option that names a file', () => {
  const named = COMMANDS.flatMap((make) => {
    const command = make();
    const flagsOf = (one: Command, path: string): string[] =>
      one.options.filter(({ flags }) => flags.includes('<file>')).map(({ long }) => `${path} ${long ?? ''}`);
    return [
      ...(command.commands.length > 0 ? [] : flagsOf(command, command.name())),
      ...command.commands.flatMap((one) => flagsOf(one, `${command.name()} ${one.name()}`)),
    ];
  });
  const listed = [...FILE_INPUTS.map(({ command, flag }) => `${command} ${flag}`), ...FILE_OUTPUTS];
  expect([...new Set(named)].sort()).toEqual([...new Set(listed)].sort());
});

describe('what is no usable file is refused in words, in little memory, and without waiting', () => {
  test.each(
    FILE_INPUTS.map((input) => ({
      named: `${input.command} ${input.before.join(' ')} ${input.flag}`,
      input,
    })),
  )('$named', async ({ input }) => {
    for (const odd of ODD[input.kind]) {
      const before = process.resourceUsage().maxRSS * 1024;
      const error = await failureOf(input, odd);
      expect([odd, isTldrError(error), messageOf(error)]).toEqual([odd, true, expect.any(String)]);
      expect([odd, isTldrError(error) ? error.code : messageOf(error)]).toEqual([
        odd,
        expect.stringMatching(/^(INVALID_ARGUMENT|INVALID_DATA|NOT_FOUND|MISMATCH)$/),
      ]);
      // A file with the wrong number of dimensions may be named by that number.
      const named = odd.includes('column') ? /column|8589934592|1-d/ : new RegExp(odd);
      expect([odd, messageOf(error)]).toEqual([odd, expect.stringMatching(named)]);
      expect(process.resourceUsage().maxRSS * 1024 - before).toBeLessThan(MEMORY_BYTES_MAX);
    }
  });
});
