import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { normalizedRows } from '../../src/core/distance.js';
import { Kernel } from '../../src/encoder/projection-kernel.js';
import { matrix, type Matrix } from '../../src/core/matrix.js';
import { Rng } from '../../src/core/rng.js';

test.each([
  ['build-projection-kernel', 'src/encoder/projection-kernel-wasm.ts'],
  ['build-number-reader', 'adapters/qdrant/serve/json/number-reader-wasm.ts'],
  ['build-copy-tagged-floats', 'adapters/qdrant/transport/copy-tagged-floats-wasm.ts'],
])('what %s wrote is what it writes', (script, file) => {
  const printed = execFileSync(process.execPath, [`scripts/${script}.mjs`, '--print'], { encoding: 'utf8' });
  expect(printed).toBe(readFileSync(file, 'utf8'));
});

function identity(size: number): Matrix {
  const weight = matrix(size, size);
  for (let i = 0; i < size; i++) weight.data[i * size + i] = 1;
  return weight;
}

test.each(['normalizeInput', 'normalizeOutput'] as const)(
  '%s scales rows to the bit as everywhere',
  (where) => {
    const scale = fc.constantFrom(0, 1e-40, 1e-20, 1, 1e20, 3e38);
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 70 }),
        fc.array(scale, { minLength: 1, maxLength: 70 }),
        (cols, scales) => {
          const layers = [{ weight: identity(cols), bias: null, relu: false }];
          const none = { normalizeInput: false, normalizeOutput: false };
          const rng = new Rng(cols);
          const x = matrix(scales.length, cols);
          // Between half and all of the largest: its sums stay finite, and no value is a zero with a sign.
          scales.forEach((size, i) => {
            for (let j = 0; j < cols; j++)
              x.data[i * cols + j] = size * (0.5 + rng.uniform() / 2) * (rng.uniform() < 0.5 ? -1 : 1) + 0;
          });
          const kernel = new Kernel({ ...none, [where]: true, layers });
          expect(kernel.project(x).data).toEqual(normalizedRows(x).data);
        },
      ),
      { numRuns: 60, seed: 1 },
    );
  },
);
