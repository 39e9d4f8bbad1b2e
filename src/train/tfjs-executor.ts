import type * as tf from '@tensorflow/tfjs';
import { createRequire } from 'node:module';
import { expectDefined, TldrError } from '../core/errors.js';
import type { Log } from '../core/run-options.js';
import { EPSILON, MASK, NORM_EPSILON } from './ops.js';
import type { Executor, ExecutorOptions, MatmulOptions, Ops, StepDefinition } from './ops.js';

type TfModule = typeof tf;

const NATIVE_PACKAGE = '@tensorflow/tfjs-node';
const WASM_PACKAGE = '@tensorflow/tfjs-backend-wasm';
/**
 * Backends in the order in which they are tried. Users install them, and TensorFlow.js itself, separately.
 */
const BACKEND_PACKAGES = ['@tensorflow/tfjs-node-gpu', NATIVE_PACKAGE, WASM_PACKAGE];
/** A WebAssembly memory has addresses of 32 bits. */
const WASM_BYTES_MAX = 2 ** 32;
/** Number of copies of the weights that a step holds at the same time. 65,536 x 880 weights just fit (measured). */
const WASM_COPIES = 17;
const require = createRequire(import.meta.url);

/**
 * Checks that the weights of an encoder fit into the memory of the backend that will be used.
 * @throws INVALID_ARGUMENT when it is the WebAssembly backend and they do not fit
 */
export function checkTfjsMemory(weightBytes: number): void {
  if (weightBytes * WASM_COPIES <= WASM_BYTES_MAX) return;
  if (BACKEND_PACKAGES.find(isInstalled) === WASM_PACKAGE) throw wasmTooSmall();
}

function isInstalled(name: string): boolean {
  try {
    require.resolve(name);
    return true;
  } catch {
    return false;
  }
}

function wasmTooSmall(cause?: unknown): TldrError {
  return new TldrError(
    'INVALID_ARGUMENT',
    `the tfjs engine's backend ${WASM_PACKAGE} has at most ${WASM_BYTES_MAX / 2 ** 30} GiB of memory, and training takes about ${WASM_COPIES} times the memory of the encoder's weights: give fewer dimensions, install ${NATIVE_PACKAGE}, or use the engine onnx`,
    { cause },
  );
}

/** Calls `body`. @throws INVALID_ARGUMENT when the memory of the WebAssembly backend does not suffice */
function withinMemory<T>(module: TfModule, body: () => T): T {
  try {
    return body();
  } catch (error) {
    const isOutOfMemory = error instanceof Error && ['RuntimeError', 'RangeError'].includes(error.name);
    throw module.getBackend() === 'wasm' && isOutOfMemory ? wasmTooSmall(error) : error;
  }
}

/** The tensor operations on TensorFlow.js, whose own autograd supplies the derivatives. */
class TfjsOps implements Ops<tf.Tensor> {
  readonly #tf: TfModule;

  constructor(module: TfModule) {
    this.#tf = module;
  }

  constant(value: number): tf.Tensor {
    return this.#tf.scalar(value);
  }

  shape(a: tf.Tensor): readonly number[] {
    return a.shape;
  }

  /** Transposes first: the wasm backend is slow for products that transpose an operand. */
  matmul(a: tf.Tensor, b: tf.Tensor, options: MatmulOptions = {}): tf.Tensor {
    const { transposeA = false, transposeB = false, scale = 1 } = options;
    const left = transposeA ? a.transpose() : a;
    const right = transposeB ? b.transpose() : b;
    const product = this.#tf.matMul(left, right);
    return scale === 1 ? product : product.mul(scale);
  }

  add(a: tf.Tensor, b: tf.Tensor): tf.Tensor {
    return a.add(b);
  }

  sub(a: tf.Tensor, b: tf.Tensor): tf.Tensor {
    return a.sub(b);
  }

  mul(a: tf.Tensor, b: tf.Tensor): tf.Tensor {
    return a.mul(b);
  }

  div(a: tf.Tensor, b: tf.Tensor): tf.Tensor {
    return a.div(b);
  }

  scale(a: tf.Tensor, factor: number): tf.Tensor {
    return a.mul(factor);
  }

  relu(a: tf.Tensor): tf.Tensor {
    return a.relu();
  }

  sqrt(a: tf.Tensor): tf.Tensor {
    return a.sqrt();
  }

  sign(a: tf.Tensor): tf.Tensor {
    return a.sign();
  }

  batchNorm(a: tf.Tensor, groups: number): tf.Tensor {
    const [rows = 0, cols = 0] = a.shape;
    const x = a.reshape([groups, rows / groups, cols]);
    const centred = x.sub(x.mean(1, true));
    const variance = centred.square().mean(1, true);
    return centred.div(variance.add(EPSILON).sqrt()).reshape([rows, cols]);
  }

  normalizeRows(a: tf.Tensor): tf.Tensor {
    return a.div(a.square().sum(1, true).add(NORM_EPSILON).sqrt());
  }

  maskDiagonal(a: tf.Tensor): tf.Tensor {
    return a.add(this.#tf.eye(a.shape[0]).mul(MASK));
  }

  meanKl(teacher: tf.Tensor, student: tf.Tensor): tf.Tensor {
    const logP = this.#tf.logSoftmax(teacher);
    const gaps = logP.exp().mul(logP.sub(this.#tf.logSoftmax(student)));
    return gaps.sum().mul(1 / student.shape[0]);
  }

  sumSquares(a: tf.Tensor): tf.Tensor {
    return a.square().sum();
  }

  sumColumns(a: tf.Tensor): tf.Tensor {
    return a.sum(0, true);
  }

  sumRowsAsRow(a: tf.Tensor): tf.Tensor {
    return a.sum(1).reshape([1, a.shape[0]]);
  }

  halves(a: tf.Tensor): readonly [tf.Tensor, tf.Tensor] {
    const [rows = 0, cols = 0] = a.shape;
    return [a.slice([0, 0], [rows / 2, cols]), a.slice([rows / 2, 0], [rows / 2, cols])];
  }
}

async function importOptional(name: string): Promise<boolean> {
  try {
    await import(name);
    return true;
  } catch {
    return false;
  }
}

/**
 * Loads TensorFlow.js with the fastest backend that is installed.
 * @throws UNSUPPORTED when the package itself is missing
 */
async function loadTfjs(log?: Log): Promise<TfModule> {
  let module: TfModule;
  try {
    module = await import('@tensorflow/tfjs');
  } catch (cause) {
    throw new TldrError(
      'UNSUPPORTED',
      'the tfjs engine needs TensorFlow.js, which does not come with this package: npm install @tensorflow/tfjs',
      { cause },
    );
  }
  for (const name of BACKEND_PACKAGES) {
    if (!(await importOptional(name))) continue;
    const backend = name.endsWith('wasm') ? 'wasm' : 'tensorflow';
    if (await module.setBackend(backend).catch(() => false)) {
      log?.('info', `tfjs engine: backend ${backend} of ${name}`);
      return module;
    }
  }
  await module.setBackend('cpu');
  log?.(
    'warn',
    `tfjs engine: plain JavaScript backend, slow; install ${WASM_PACKAGE} (any platform) or ${NATIVE_PACKAGE} (native) beside this package`,
  );
  return module;
}

/** Loss and derivatives of a batch on TensorFlow.js. Tests compare them with the other engine. */
export async function tfjsGradients(
  definition: StepDefinition,
  parameters: readonly Float32Array[],
  views: readonly Float32Array[],
): Promise<{ loss: number; gradients: Float32Array[] }> {
  const module = await loadTfjs();
  const { loss, gradients } = evaluate(module, definition, {
    parameters: definition.parameters.map(({ shape }, i) =>
      module.tensor(expectDefined(parameters[i], 'the values of a parameter'), [...shape]),
    ),
    views: viewTensors(module, definition, views),
  });
  return { loss: expectDefined(floats(loss)[0], 'the loss'), gradients: gradients.map(floats) };
}

function viewTensors(
  module: TfModule,
  { batchRows, widths }: StepDefinition,
  views: readonly Float32Array[],
): tf.Tensor[] {
  return widths.map((width, v) =>
    module.tensor(expectDefined(views[v], 'a view of the batch'), [batchRows, width]),
  );
}

function evaluate(
  module: TfModule,
  definition: StepDefinition,
  { parameters, views }: { readonly parameters: tf.Tensor[]; readonly views: readonly tf.Tensor[] },
): { loss: tf.Tensor; gradients: tf.Tensor[] } {
  const ops = new TfjsOps(module);
  const { value, grads } = module.valueAndGrads((...inputs: tf.Tensor[]) =>
    definition.loss<tf.Tensor>(ops, inputs, views).asScalar(),
  )(parameters);
  return { loss: value, gradients: grads };
}

/** The tensors after a step. A type and not an interface, so that it is a container of tensors. */
type Moved = { loss: tf.Tensor; parameters: tf.Tensor[]; slots: tf.Tensor[][] };

/** Opens an executor that runs steps on TensorFlow.js. @throws UNSUPPORTED when it is not installed */
export async function createTfjsExecutor(options: ExecutorOptions, log?: Log): Promise<Executor> {
  const { definition, optimizer, initial } = options;
  const module = await loadTfjs(log);
  const ops = new TfjsOps(module);
  const tensorOf = (values: Float32Array | undefined, i: number): tf.Tensor => {
    const shape = [...expectDefined(definition.parameters[i], 'the definition of a parameter').shape];
    return values === undefined ? module.zeros(shape) : module.tensor(values, shape);
  };
  let parameters = withinMemory(module, () => initial.parameters.map(tensorOf));
  let slots = withinMemory(module, () =>
    definition.parameters.map((_, i) =>
      Array.from({ length: optimizer.slotsPerParameter }, (_slot, j) => tensorOf(initial.slots[i]?.[j], i)),
    ),
  );

  return {
    engine: `tfjs ${module.getBackend()}`,
    step(views, learningRate, stepNumber) {
      const before = [...parameters, ...slots.flat()];
      const update = (): Moved => {
        const tensors = viewTensors(module, definition, views);
        const { loss, gradients } = evaluate(module, definition, { parameters, views: tensors });
        const scalars = optimizer.scalars(learningRate, stepNumber).map((value) => module.scalar(value));
        const updates = definition.parameters.map((spec, i) => {
          const parameter = expectDefined(parameters[i], `parameter ${spec.name}`);
          const gradient = expectDefined(gradients[i], `the derivative for parameter ${spec.name}`);
          const input = {
            parameter,
            gradient,
            slots: expectDefined(slots[i], 'the optimizer slots of a parameter'),
            kind: spec.kind,
          };
          return optimizer.update<tf.Tensor>(ops, input, scalars);
        });
        return { loss, parameters: updates.map((u) => u.parameter), slots: updates.map((u) => [...u.slots]) };
      };
      const moved = withinMemory(module, () => module.tidy(update));
      const loss = expectDefined(floats(moved.loss)[0], 'the loss');
      module.dispose([...before, moved.loss]);
      ({ parameters, slots } = moved);
      return Promise.resolve(loss);
    },
    values: () =>
      Promise.resolve({ parameters: parameters.map(floats), slots: slots.map((list) => list.map(floats)) }),
    close: () => {
      module.dispose([...parameters, ...slots.flat()]);
      return Promise.resolve();
    },
  };
}

function floats(tensor: tf.Tensor): Float32Array {
  return Float32Array.from(tensor.dataSync());
}
