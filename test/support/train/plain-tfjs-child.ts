import { register } from 'node:module';
import { adam } from '../../../src/train/optimizers.js';
import type { Ops } from '../../../src/train/ops.js';

/** One step without any other TensorFlow.js backend; with the argument `none` without TensorFlow.js at all. */
const missing = process.argv[2] === 'none' ? '' : '-(node|backend-wasm)';
const hooks = `
export async function resolve(specifier, context, next) {
  if (/^@tensorflow\\/tfjs${missing}/.test(specifier)) {
    throw Object.assign(new Error('not installed: ' + specifier), { code: 'ERR_MODULE_NOT_FOUND' });
  }
  return next(specifier, context);
}`;
register(`data:text/javascript,${encodeURIComponent(hooks)}`);

const { createTfjsExecutor } = await import('../../../src/train/tfjs-executor.js');
const executor = await createTfjsExecutor(
  {
    definition: {
      parameters: [{ name: 'p', kind: 'weight', shape: [1, 2] }],
      batchRows: 1,
      widths: [1],
      loss: <T>(ops: Ops<T>, [p]: readonly T[], [batch]: readonly T[]) =>
        ops.sumSquares(ops.matmul(batch!, p!)),
    },
    optimizer: adam(),
    initial: { parameters: [Float32Array.of(1, 2)], slots: [[new Float32Array(2), new Float32Array(2)]] },
    threads: 1,
  },
  (level, message) => process.stdout.write(`${level}: ${message}\n`),
);
process.stdout.write(`${executor.engine}, loss ${await executor.step([Float32Array.of(1)], 0.1, 1)}\n`);
await executor.close();
