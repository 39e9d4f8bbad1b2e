import { expect, test } from '@jest/globals';
import type { Command, Option } from 'commander';
import { readdirSync, readFileSync } from 'node:fs';
import { completionCommand } from '../../src/cli/completion/command.js';
import { configCommand } from '../../src/cli/config-command.js';
import { demoCommand } from '../../src/cli/demo/command.js';
import { evaluateCommand } from '../../src/cli/evaluate/command.js';
import { inspectCommand } from '../../src/cli/inspect.js';
import { migrateCommand } from '../../src/cli/migrate/command.js';
import { planCommand } from '../../src/cli/plan/command.js';
import { projectCommand } from '../../src/cli/project.js';
import { searchCommand } from '../../src/cli/search.js';
import { serveCommand } from '../../src/cli/serve/command.js';
import { shrinkCommand } from '../../src/cli/shrink/command.js';
import { sqlCommand } from '../../src/cli/sql.js';
import { trainCommand } from '../../src/cli/train/command.js';

const COMMANDS: readonly Command[] = [
  completionCommand(),
  configCommand(),
  demoCommand(),
  evaluateCommand(),
  inspectCommand(),
  migrateCommand(),
  planCommand(),
  projectCommand(),
  searchCommand(),
  serveCommand(),
  shrinkCommand(),
  sqlCommand(),
  trainCommand(),
];

const pages = readdirSync('docs')
  .filter((name) => name.endsWith('.md'))
  .map((name) => readFileSync(`docs/${name}`, 'utf8'))
  .join('\n');

function visibleFlags(command: Command): string[] {
  return command.options
    .filter((option: Option) => !option.hidden)
    .flatMap(({ long }) => (typeof long === 'string' ? [long] : []));
}

test('every command is known here', () => {
  const main = readFileSync('src/cli/main.ts', 'utf8');
  const named = [...main.matchAll(/^ {2}(\w+): async \(\) => /gm)].map(([, name]) => name);
  expect(COMMANDS.map((command) => command.name()).sort()).toEqual(named.sort());
});

test.each(
  COMMANDS.flatMap((command) => [command, ...command.commands]).map((one) => [one.name(), one] as const),
)('every flag that the help of %s shows is named in docs/', (_name, command) => {
  const missing = visibleFlags(command).filter((flag) => !new RegExp(`${flag}(?![\\w-])`).test(pages));
  expect(missing).toEqual([]);
});
