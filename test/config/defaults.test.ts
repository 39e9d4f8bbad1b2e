import { expect, test } from '@jest/globals';
import type { Command } from 'commander';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { evaluateCommand } from '../../src/cli/evaluate/command.js';
import { migrateCommand } from '../../src/cli/migrate/command.js';
import { planCommand } from '../../src/cli/plan/command.js';
import { serveCommand } from '../../src/cli/serve/command.js';
import { trainCommand } from '../../src/cli/train/command.js';
import { SETTINGS } from '../../src/config/settings.js';
import { SERVE_LIMITS } from '../../src/store/defaults.js';

/** Flags with another name than their setting. */
const SETTING_OF: Readonly<Record<string, string>> = { listen: 'listenRest' };

function allOf(command: Command): readonly Command[] {
  return [command, ...command.commands.flatMap(allOf)];
}

test('every help text shows the default of its setting', () => {
  const commands = [evaluateCommand(), migrateCommand(), planCommand(), serveCommand(), trainCommand()];
  const defaults = new Map<string, unknown>(
    Object.entries(SETTINGS).map(([name, setting]) => [name, setting.default]),
  );
  const shown = commands.flatMap(allOf).flatMap((command) =>
    command.options.flatMap((option) => {
      const name = SETTING_OF[option.attributeName()] ?? option.attributeName();
      const text = /\(default: ([^)]+)\)/.exec(option.description)?.[1];
      return text === undefined || !defaults.has(name) ? [] : [{ command: command.name(), name, text }];
    }),
  );
  expect(new Set(shown.map(({ name }) => name))).toEqual(
    new Set([
      'threads',
      'concurrency',
      'batchSize',
      'workers',
      'shadow',
      'driftAlert',
      'drainMs',
      'listenRest',
      'listenGrpc',
      'listenOperations',
    ]),
  );
  for (const { command, name, text } of shown)
    expect({ command, name, text }).toEqual({ command, name, text: String(defaults.get(name)) });
});

test('the page of settings shows the default of each', () => {
  const page = readFileSync(join(process.cwd(), 'docs/config.md'), 'utf8');
  for (const [name, { default: value }] of Object.entries(SETTINGS)) {
    const row = page.split('\n').find((line) => line.startsWith(`| \`${name}\``));
    const cell = row?.split('|')[3]?.trim().replaceAll('`', '');
    expect({ name, cell }).toEqual({ name, cell: String(value) });
  }
});

test('limits of the proxy stand in one file', () => {
  const files = readdirSync(join(process.cwd(), 'src'), { recursive: true, encoding: 'utf8' }).filter(
    (name) => name.endsWith('.ts') && name !== join('store', 'defaults.ts'),
  );
  const named = Object.keys(SERVE_LIMITS).join('|');
  for (const name of files)
    expect({
      name,
      found: new RegExp(`\\b(${named}): [0-9]`).exec(readFileSync(join(process.cwd(), 'src', name), 'utf8')),
    }).toEqual({ name, found: null });
});
