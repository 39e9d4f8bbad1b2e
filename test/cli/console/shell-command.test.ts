import { expect, test } from '@jest/globals';
import { Command } from 'commander';
import fc from 'fast-check';
import { execFileSync } from 'node:child_process';
import { readFlags, shellCommand } from '../../../src/cli/console/shell-command.js';

/** What a shell makes of a command: its words. */
function pasted(command: string): string[] {
  const script = `qdrant-tldr() { printf '%s\\0' "$@"; }\n${command}`;
  return execFileSync('bash', ['-c', script]).toString().split('\0').slice(0, -1);
}

test.each(['my coll', '-dash', '--', "it's $(reboot) `x` !1", '~', '=ls', 'a\nb', '*', 'ä"\\', '-x y'])(
  'a command that names %j is read back with that name',
  async (name) => {
    const got: unknown[] = [];
    const program = new Command('qdrant-tldr').exitOverride();
    program
      .command('start')
      .argument('<source>')
      .argument('<target>')
      .requiredOption('--out <file>')
      .option('--yes');
    program.commands[0]?.action((source: string, target: string, flags: object) => {
      got.push(source, target, flags);
    });
    const flags = [
      ['--out', `${name}.onnx`],
      ['--yes', null],
    ] as const;
    const command = shellCommand({ command: ['start'], names: [name, `${name}_96`], flags });
    await program.parseAsync(pasted(command), { from: 'user' });
    expect(got).toEqual([name, `${name}_96`, { out: `${name}.onnx`, yes: true }]);
  },
);

test('any words survive the shell', () => {
  const word = fc
    .string({ unit: 'binary', minLength: 0, maxLength: 20 })
    .filter((text) => !text.includes('\0'));
  fc.assert(
    fc.property(fc.array(word, { maxLength: 4 }), (names) => {
      expect(
        pasted(shellCommand({ command: ['x'], names, flags: [] })).filter((got) => got !== '--'),
      ).toEqual(['x', ...names].filter((got) => got !== '--'));
    }),
    { numRuns: 50, seed: 3 },
  );
});

test.each(['docs', '-dash', '--', "it's"])(
  'flags for a command that names %j are read as the shell would read them, with the defaults of its definition',
  async (name) => {
    const line = {
      command: ['start'],
      names: [name],
      flags: [
        ['--out', `${name}.onnx`],
        ['--yes', null],
      ],
    } as const;
    const flags = await readFlags<object>(line, (give) =>
      new Command('start')
        .argument('<source>')
        .requiredOption('--out <file>')
        .option('--yes')
        .option('--seed <n>', 'a number', Number, 7)
        .action((_: string, read: object) => give(read)),
    );
    expect(flags).toEqual({ out: `${name}.onnx`, yes: true, seed: 7 });
  },
);

test('a command line that its definition does not know is refused', async () => {
  const line = { command: ['start'], flags: [['--nope', null]] } as const;
  const read = readFlags<object>(line, (give) =>
    new Command('start')
      .configureOutput({ writeErr: () => undefined })
      .action((flags: object) => give(flags)),
  );
  await expect(read).rejects.toThrow("unknown option '--nope'");
});
