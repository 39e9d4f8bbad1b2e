import { Rng } from '../../../src/core/rng.js';
import { tfjsGradients } from '../../../src/train/engine/tfjs-executor.js';
import { loadTfjs } from '../../../src/train/engine/tfjs-backend.js';
import { randomInputs, steps } from './gradient-steps.js';

/** Prints the loss and the derivatives of every step as the tfjs engine computes them, and what it runs on. */
const { report } = await loadTfjs({});
const found: Record<string, { readonly loss: number; readonly gradients: readonly (readonly number[])[] }> =
  {};
for (const [name, step] of Object.entries(steps)) {
  const { batch, parameters } = randomInputs(step, new Rng(11));
  const { loss, gradients } = await tfjsGradients(step, parameters, [batch]);
  found[name] = { loss, gradients: gradients.map((values) => [...values]) };
}
process.stdout.write(`${JSON.stringify({ report, steps: found })}\n`);
