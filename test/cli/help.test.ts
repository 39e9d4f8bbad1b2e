import { describe, expect, test } from '@jest/globals';
import { stripVTControlCharacters } from 'node:util';
import { CLI_PROGRAM, runCli } from '../support/cli/run-cli.js';
import { runInTerminal } from '../support/cli/run-in-terminal.js';

const helpOf = async (...command: string[]): Promise<string> => {
  const { code, stdout } = await runCli([...command, '--help'], { cwd: process.cwd() });
  expect(code).toBe(0);
  return stdout;
};

describe.each(['inspect', 'train', 'plan', 'migrate start', 'evaluate', 'serve', 'search', 'project'])(
  'the help of %s',
  (command) => {
    test('begins with three calls that the parser takes, and groups the flags', async () => {
      const help = await helpOf(...command.split(' '));
      const [, calls = ''] = /^Most used:\n((?: {2}qdrant-tldr .*\n){3})\n/.exec(help) ?? [];
      const flags = [...calls.matchAll(/ (--[a-z-]+)/g)].map(([, flag]) => flag!);
      for (const flag of flags) expect(help).toMatch(new RegExp(`^ +(-\\w, )?${flag}\\b`, 'm'));
      const groups = [...help.matchAll(/^([A-Z][a-z]+(?: options| details)?):$/gm)].map(([, name]) => name!);
      const order = ['Common options', 'Training details', 'Output', 'Connection'];
      expect(groups.filter((name) => order.includes(name))).toEqual(
        order.filter((name) => groups.includes(name)),
      );
      expect(groups).toContain('Output');
      expect(groups).not.toContain('Options');
    });
  },
);

describe.each([60, 80, 120])('help on a terminal of %i columns', (columns) => {
  test.each([[], ['train'], ['migrate', 'start']])(
    'no line is longer, except commands and settings to copy: %s',
    async (...command) => {
      const { raw, code } = await runInTerminal([process.execPath, CLI_PROGRAM, ...command, '--help'], {
        columns,
        cwd: process.cwd(),
      });
      expect(code).toBe(0);
      const lines = stripVTControlCharacters(raw).split(/\r?\n/);
      expect(lines.length).toBeGreaterThan(10);
      expect(
        lines.filter((line) => line.length > columns && !/^ {2}qdrant-tldr |^ +["{]/.test(line)),
      ).toEqual([]);
    },
  );
});
