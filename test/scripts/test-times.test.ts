import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const SCRIPT = 'scripts/test-times.mjs';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'test-times-'));
});
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

/** What the script prints for suites that took these milliseconds. */
function printed(suites: Readonly<Record<string, number>>): string[] {
  const testResults = Object.entries(suites).map(([name, ms]) => ({
    name: join(process.cwd(), 'dist', name),
    startTime: 1000,
    endTime: 1000 + ms,
  }));
  const file = join(folder, 'jest.json');
  writeFileSync(file, JSON.stringify({ testResults }));
  return execFileSync(process.execPath, [SCRIPT, file], { encoding: 'utf8' }).trimEnd().split('\n');
}

describe('the times of a test run', () => {
  test('are added up for each group, the slowest group first', () => {
    const lines = printed({
      'test/core/ids.test.js': 500,
      'test/core/matrix.test.js': 1000,
      'test/integration/serve/rest/a.test.js': 60_000,
      'test/integration/serve/b.test.js': 30_000,
      'test/tidy.test.js': 2000,
    });
    expect(lines.slice(1, lines.indexOf(''))).toEqual([
      '    90.0 s  integration/serve (2 suites)',
      '     2.0 s  tidy (1 suite)',
      '     1.5 s  core (2 suites)',
    ]);
  });

  test('name the ten slowest suites by their sources, the slowest first', () => {
    const suites = Object.fromEntries(
      Array.from({ length: 12 }, (_, i) => [`test/core/s${i}.test.js`, 1000 * (i + 1)]),
    );
    const lines = printed(suites);
    const slowest = lines.slice(lines.indexOf('The 10 slowest suites:') + 1);
    expect(slowest).toHaveLength(10);
    expect(slowest[0]).toBe('    12.0 s  test/core/s11.test.ts');
    expect(slowest[9]).toBe('     3.0 s  test/core/s2.test.ts');
  });

  test('are missing with an error if there is no result', () => {
    const { status } = spawnSync(process.execPath, [SCRIPT, join(folder, 'missing.json')]);
    expect(status).toBe(1);
  });
});
