import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { execFile } from 'node:child_process';
import { chmod, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join, resolve } from 'node:path';
import { promisify } from 'node:util';

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
    expect(await offered('migrate', 'start', '--layout', '')).toEqual(['compact', 'two-stage']);
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
