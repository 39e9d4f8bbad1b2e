import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { execFile, spawnSync } from 'node:child_process';
import { chmod, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { runInTerminal } from '../support/cli/run-in-terminal.js';

let cwd: string;
let PATH: string;

beforeAll(async () => {
  cwd = await mkdtemp(join(tmpdir(), 'qdrant-tldr-completion-'));
  const program = join(cwd, 'qdrant-tldr');
  await writeFile(
    program,
    `#!/bin/sh\nexec '${process.execPath}' '${resolve('dist/src/cli/main.js')}' "$@"\n`,
  );
  await chmod(program, 0o755);
  await writeFile(join(cwd, 'only-file.npy'), '');
  PATH = `${cwd}${delimiter}${process.env['PATH'] ?? ''}`;
});

afterAll(() => rm(cwd, { recursive: true, force: true }));

/** What a real bash would offer for these words. */
async function offered(...words: string[]): Promise<string[]> {
  const script = `eval "$(qdrant-tldr completion bash)"
    COMP_WORDS=(qdrant-tldr "$@") COMP_CWORD=$#
    _qdrant_tldr && printf '%s\\n' "\${COMPREPLY[@]}"`;
  const { stdout } = await promisify(execFile)('bash', ['-c', script, 'bash', ...words], {
    cwd,
    env: { PATH },
  });
  return stdout.split('\n').filter((line) => line !== '');
}

describe('bash is offered', () => {
  test('commands, and no hidden one', async () => {
    expect(await offered('')).toEqual(expect.arrayContaining(['inspect', 'train', 'migrate', 'completion']));
    expect(await offered('')).not.toContain('complete');
    expect(await offered('migrate', 'st')).toEqual(['start', 'status']);
  });

  test('flags of the command that was typed, once each', async () => {
    expect(await offered('migrate', 'start', '--lay')).toEqual(['--layout']);
    expect(await offered('migrate', 'docs', 'docs_c', '--lay')).toEqual(['--layout']);
    expect(await offered('train', '--dim', '96', '--di')).toEqual(['--distance']);
  });

  test('values of a flag, with a blank or a sign before them', async () => {
    expect(await offered('migrate', 'start', '--layout', '')).toEqual([
      'two-stage',
      'compact',
      'side',
      'index-only',
    ]);
    expect(await offered('migrate', 'start', '--layout', '=', 'two')).toEqual(['two-stage']);
  });

  test('nothing for a name or a file, which the shell completes itself', async () => {
    expect(await offered('inspect', 'docs', '')).toEqual([]);
    expect(await offered('train', '--input', '')).toEqual([]);
  });

  test('and runs nothing of what was typed', async () => {
    await offered('inspect', '$(touch was-run)', '`touch was-run`', '; touch was-run', '--');
    expect(await readdir(cwd)).not.toContain('was-run');
  });
});

/** Says why a shell's tests do not run, where it is not installed. */
function ifInstalled(shell: string): typeof test {
  if (spawnSync(shell, ['--version']).status === 0) return test;
  process.stdout.write(`left out: completion in ${shell}, which is not installed here\n`);
  return test.skip as typeof test;
}

describe('fish is offered', () => {
  const inFish = ifInstalled('fish');

  async function offeredByFish(line: string): Promise<string[]> {
    const script = `qdrant-tldr completion fish | source; complete -C '${line}'`;
    const env = { PATH, HOME: cwd, LANG: 'C.UTF-8' };
    const { stdout } = await promisify(execFile)('fish', ['--no-config', '-c', script], { cwd, env });
    // Behind a tab stands a description.
    return stdout.split('\n').flatMap((word) => (word === '' ? [] : [word.split('\t')[0] ?? '']));
  }

  inFish('commands, flags and values, and no files beside them', async () => {
    expect(await offeredByFish('qdrant-tldr ')).toEqual(expect.arrayContaining(['train', 'shrink']));
    expect(await offeredByFish('qdrant-tldr migrate st')).toEqual(['start', 'status']);
    expect(await offeredByFish('qdrant-tldr migrate start --lay')).toEqual(['--layout']);
    expect(await offeredByFish('qdrant-tldr migrate start --layout ')).toEqual([
      'compact',
      'index-only',
      'side',
      'two-stage',
    ]);
  });

  inFish('files where the program has no words', async () => {
    expect(await offeredByFish('qdrant-tldr train --input on')).toEqual(['only-file.npy']);
    expect(await offeredByFish('qdrant-tldr train --input=on')).toEqual(['--input=only-file.npy']);
  });
});

describe('zsh completes', () => {
  ifInstalled('zsh')('commands, flags and files, in a shell that has not set up completion', async () => {
    await writeFile(join(cwd, '.zshrc'), 'eval "$(qdrant-tldr completion zsh)"\nPS1="ready> "\n');
    const { lines, raw } = await runInTerminal(['zsh', '-i'], {
      columns: 80,
      cwd,
      env: { PATH, HOME: cwd, ZDOTDIR: cwd },
      typeOn: /ready>/,
      // Ctrl-U removes the second line again.
      keys: 'qdrant-tldr migrate statu\t--hel\t\nqdrant-tldr train --input on\t\x15exit\n',
    });
    expect(lines).toContainEqual(expect.stringContaining('ready> qdrant-tldr migrate status --help'));
    expect(lines).toContainEqual(expect.stringContaining('Usage: qdrant-tldr migrate status'));
    expect(raw).toContain('ly-file.npy');
  });
});
