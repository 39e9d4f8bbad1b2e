import Module from 'node:module';
import type { Ops } from '../../../src/train/engine/ops.js';
import { adam } from '../../../src/train/optimizers.js';
import type { EngineChoice } from '../../../src/train/engine/engine-report.js';

/** Runs one step with what the second argument chooses, without the packages whose names the first one matches. */
const [hidden = '', choice = '{}'] = process.argv.slice(2);
const loader = Module as unknown as { _resolveFilename: (request: string, ...more: unknown[]) => string };
const resolveFilename = loader._resolveFilename;
loader._resolveFilename = (request, ...more) => {
  if (hidden !== '' && new RegExp(hidden).test(request)) throw new Error(`not installed: ${request}`);
  return resolveFilename.call(loader, request, ...more);
};

const { createTfjsExecutor } = await import('../../../src/train/engine/tfjs-executor.js');
const { loadTfjs } = await import('../../../src/train/engine/tfjs-backend.js');
const asked = JSON.parse(choice) as EngineChoice;
try {
  const { fellBack } = await loadTfjs(asked);
  const executor = await createTfjsExecutor({
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
    choice: asked,
  });
  const loss = await executor.step([Float32Array.of(1)], 0.1, 1);
  process.stdout.write(`${JSON.stringify({ ...executor.engine, loss, fellBack })}\n`);
  await executor.close();
} catch (error) {
  process.stdout.write(
    `${JSON.stringify({ error: String(error), hint: Reflect.get(Object(error), 'hint') as unknown })}\n`,
  );
}
