import { expect, test } from '@jest/globals';
import { checkTrainOptions } from '../../src/select/train-encoder-options.js';
import { checkTrainMemory, memoryLimit, trainMemory } from '../../src/select/train-memory.js';

const sizes = { rows: 50_000, inputDim: 65_536, outputDim: 128 };

test('a training that does not fit is refused with the rows that would', () => {
  const rows = /: ([\d,]+) rows would fit/;
  const refused = (limit: number): string => {
    try {
      checkTrainMemory(sizes, limit);
    } catch (error) {
      return (error as Error).message;
    }
    return '';
  };
  const message = refused(16e9);
  expect(message).toMatch(/65,536 dimensions to 128 with 50,000 rows takes about .* GB .* may use 16 GB/);
  const fitting = Number(rows.exec(message)?.[1]?.replaceAll(',', ''));
  expect(() => checkTrainMemory({ ...sizes, rows: fitting }, 16e9)).not.toThrow();
  expect(() => checkTrainMemory({ ...sizes, rows: fitting + 1 }, 16e9)).toThrow();
  expect(refused(1e9)).toMatch(/: 0 rows would fit, and training takes at least 100: give fewer dimensions/);
});

test('few rows of many dimensions fit where their number squared would not', () => {
  expect(trainMemory({ rows: 150, inputDim: 24_000, outputDim: 64 })).toBeLessThan(2e9);
  expect(() => checkTrainMemory({ ...sizes, rows: 120 }, 4e9)).not.toThrow();
  expect(memoryLimit()).toBeGreaterThan(0);
});

test('weights that do not fit into the memory of WebAssembly are refused before anything is read', () => {
  const check = (dim: number, more = {}) => checkTrainOptions({ dim, engine: 'tfjs', ...more }, 65_536);
  expect(() => check(800)).not.toThrow();
  expect(() => check(1024)).toThrow(/tfjs-backend-wasm has at most 4 GiB.*use the engine onnx/);
  expect(() => check(1024, { engine: 'onnx' })).not.toThrow();
  expect(() => check(32, { encoder: 'residual-1024' })).not.toThrow();
  expect(() => check(32, { loss: 'barlow-twins', encoder: 'mlp-1-1024' })).toThrow('4 GiB');
});
