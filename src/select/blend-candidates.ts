import { fitMoments, principalAxes } from '../baselines/pca.js';
import { expectDefined } from '../core/errors.js';
import { matrix, row, spacedRows, type Matrix } from '../core/matrix.js';
import type { RunOptions } from '../core/run-options.js';
import type { EncoderLayer, EncoderNetwork } from '../encoder/network.js';
import { projectNatively } from '../encoder/project-natively.js';
import { BLEND } from '../hyper-parameters/blend.js';
import { FIRST_WEIGHTS_MAX } from '../hyper-parameters/fit-of-candidates.js';
import type { Candidate } from './candidate.js';

/** What a blend is made of: the map that is best for neighbours, and the one that gathers labels best. */
const FIDELITY_PARTS = ['neighbourhood-kl-residual', 'neighbourhood-kl'];
const RELEVANCE_PART = 'tldr-mlp';

/** Names of the blends, by TLDR's share. */
export const BLENDS: readonly string[] = BLEND.shares.map(nameOf);

function nameOf(share: number): string {
  return `blend-${share}`;
}

/** The two of these candidates that blends join, fidelity first; null if one of the two is missing. */
export function blendParts(names: readonly string[]): readonly [string, string] | null {
  const near = FIDELITY_PARTS.find((name) => names.includes(name));
  return near === undefined || !names.includes(RELEVANCE_PART) ? null : [near, RELEVANCE_PART];
}

/** Whether these candidates can be blended; `fitBlends` then returns all of `BLENDS`, unless they would be too wide. */
export function canBlend(names: readonly string[]): boolean {
  return blendParts(names) !== null;
}

/**
 * Returns candidates between fidelity and relevance. Each joins the outputs of two fitted candidates, so that inner
 * products add with weights, and reduces them to `dim` along their principal axes: one network with one hidden layer.
 * Returns none if one of the two is missing, or the network would be too wide.
 * @param x rows that the candidates were fitted to
 */
export async function fitBlends(
  x: Matrix,
  fitted: readonly Candidate[],
  { dim, ...run }: { readonly dim: number; readonly threads?: number } & RunOptions,
): Promise<readonly Candidate[]> {
  const names = blendParts(fitted.map(({ name }) => name));
  if (names === null) return [];
  const [near, far] = [partOf(fitted, names[0]), partOf(fitted, names[1])];
  const parts = [near, far].map(({ network }) => withHiddenLayer(network));
  const width = parts.reduce((sum, [first]) => sum + first.weight.cols, 0);
  if (x.cols * width > FIRST_WEIGHTS_MAX) return [];
  const rows = spacedRows(x, BLEND.rowsMax);
  const outputs: Matrix[] = [];
  for (const { network } of [near, far])
    outputs.push(await projectNatively({ ...network, normalizeOutput: false }, rows, run));
  const blends: Candidate[] = [];
  for (const share of BLEND.shares) {
    const startedAtMs = performance.now();
    const scales = [1 - share, share].map(
      (part, i) => Math.sqrt(part) / rootMeanSquare(expectDefined(outputs[i], 'the outputs of a part')),
    );
    const axes = await jointAxes(outputs, scales, { ...run, dim });
    const seconds = (performance.now() - startedAtMs) / 1000;
    blends.push({
      name: nameOf(share),
      network: { ...near.network, layers: joined(parts, scales, axes) },
      distances: near.distances,
      hyperParameters: { parts: `${near.name} + ${far.name}`, share },
      seconds,
    });
  }
  return blends;
}

function partOf(fitted: readonly Candidate[], name: string): Candidate {
  return expectDefined(
    fitted.find((one) => one.name === name),
    `the part ${name} of a blend`,
  );
}

function rootMeanSquare({ data, rows }: Matrix): number {
  return Math.sqrt(data.reduce((sum, value) => sum + value ** 2, 0) / rows) || 1;
}

/** The principal axes (sum of widths x dim) of the scaled outputs side by side; uncentred, to keep inner products. */
async function jointAxes(
  outputs: readonly Matrix[],
  scales: readonly number[],
  { dim, ...run }: { readonly dim: number; readonly threads?: number } & RunOptions,
): Promise<Matrix> {
  const cols = outputs.reduce((sum, one) => sum + one.cols, 0);
  const joint = matrix(expectDefined(outputs[0], 'the outputs').rows, cols);
  for (let i = 0; i < joint.rows; i++) {
    let at = i * cols;
    outputs.forEach((output, part) => {
      const scale = expectDefined(scales[part], 'a scale');
      joint.data.set(
        row(output, i).map((value) => value * scale),
        at,
      );
      at += output.cols;
    });
  }
  const moments = await fitMoments(joint, { ...run, distance: 'dot', dim });
  const { vectors } = await principalAxes(moments, { ...run, d: dim, centred: false });
  return matrix(cols, dim, Float32Array.from(vectors));
}

/** A network with one hidden layer, and the same outputs. */
function withHiddenLayer({ layers }: EncoderNetwork): readonly [EncoderLayer, EncoderLayer] {
  const [first, second] = layers;
  const own = expectDefined(first, 'the first layer');
  if (second !== undefined) return [own, second];
  // relu(u) - relu(-u) = u
  const { rows, cols } = own.weight;
  const [weight, output] = [matrix(rows, 2 * cols), matrix(2 * cols, cols)];
  for (let i = 0; i < rows; i++) {
    const to = row(weight, i);
    to.set(row(own.weight, i));
    to.set(
      row(own.weight, i).map((value) => -value),
      cols,
    );
  }
  for (let j = 0; j < cols; j++) {
    output.data[j * cols + j] = 1;
    output.data[(cols + j) * cols + j] = -1;
  }
  return [
    { weight, bias: null, relu: true },
    { weight: output, bias: own.bias, relu: false },
  ];
}

/** Both networks side by side, with their scaled outputs along the axes. */
function joined(
  parts: readonly (readonly [EncoderLayer, EncoderLayer])[],
  scales: readonly number[],
  axes: Matrix,
): EncoderLayer[] {
  const width = parts.reduce((sum, [first]) => sum + first.weight.cols, 0);
  const inputDim = expectDefined(parts[0], 'a part')[0].weight.rows;
  const first = matrix(inputDim, width);
  const firstBias = new Float32Array(width);
  const second = matrix(width, axes.cols);
  const secondBias = new Float32Array(axes.cols);
  let [hiddenAt, outputAt] = [0, 0];
  parts.forEach(([hidden, output], part) => {
    const scale = expectDefined(scales[part], 'a scale');
    for (let i = 0; i < inputDim; i++) row(first, i).set(row(hidden.weight, i), hiddenAt);
    if (hidden.bias !== null) firstBias.set(hidden.bias, hiddenAt);
    for (let i = 0; i < output.weight.rows; i++)
      addAlong(row(second, hiddenAt + i), row(output.weight, i), { axes, outputAt, scale });
    if (output.bias !== null) addAlong(secondBias, output.bias, { axes, outputAt, scale });
    hiddenAt += hidden.weight.cols;
    outputAt += output.weight.cols;
  });
  return [
    { weight: first, bias: firstBias, relu: true },
    { weight: second, bias: secondBias, relu: false },
  ];
}

/** Adds scaled values, as coordinates along the axes, to `sum`. */
function addAlong(
  sum: Float32Array,
  values: Float32Array,
  { axes, outputAt, scale }: { readonly axes: Matrix; readonly outputAt: number; readonly scale: number },
): void {
  values.forEach((value, j) => {
    const axis = row(axes, outputAt + j);
    for (let k = 0; k < sum.length; k++)
      sum[k] = expectDefined(sum[k], 'a sum') + scale * value * expectDefined(axis[k], 'an entry of an axis');
  });
}
