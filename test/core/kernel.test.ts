import { expect, test } from '@jest/globals';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

test.each([
  ['build-kernel', 'src/core/kernel-wasm.ts'],
  ['build-number-reader', 'adapters/qdrant/serve/number-reader-wasm.ts'],
])('what %s wrote is what it writes', (script, file) => {
  const printed = execFileSync(process.execPath, [`scripts/${script}.mjs`, '--print'], { encoding: 'utf8' });
  expect(printed).toBe(readFileSync(file, 'utf8'));
});
