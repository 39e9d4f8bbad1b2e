import { expect, test } from '@jest/globals';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

test('the committed kernel is what its generator produces', () => {
  const printed = execFileSync(process.execPath, ['scripts/build-kernel.mjs', '--print'], {
    encoding: 'utf8',
  });
  expect(printed).toBe(readFileSync('src/core/kernel-wasm.ts', 'utf8'));
});
