import type * as tf from '@tensorflow/tfjs';
import { expectDefined } from '../../core/errors.js';
import type { Log } from '../../core/run-options.js';
import { engineText } from './engine-report.js';
import { EPSILON, MASK, NORM_EPSILON } from './ops.js';
import type { Executor, ExecutorOptions, MatmulOptions, Ops, StepDefinition } from './ops.js';
import { loadTfjs, wasmTooSmall, type TfModule } from './tfjs-backend.js';

/** Calls `body`. @throws INVALID_ARGUMENT when the memory of the WebAssembly backend does not suffice */
function withinMemory<T>(module: TfModule, body: () => T): T {
  try {
    return body();
  } catch (error) {
    const isOutOfMemory = error instanceof Error && ['RuntimeError', 'RangeError'].includes(error.name);
    throw module.getBackend() === 'wasm' && isOutOfMemory ? wasmTooSmall(error) : error;
  }
}

/** Thrown to leave a step early. */
class StepStopped extends Error {}

/** The tensor operations on TensorFlow.js, whose own autograd supplies the derivatives. */
class TfjsOps implements Ops<tf.Tensor> {
  readonly #tf: TfModule;
  readonly #isStopped: (() => boolean) | undefined;

  constructor(module: TfModule, isStopped?: () => boolean) {
    this.#tf = module;
    this.#isStopped = isStopped;
  }

  /**
   * A step of a large network takes seconds, and its matrix products take nearly all of them. So this asks at each product
   * whether to stop, on the way forward and, by a derivative that passes everything on, on the way back.
   * @throws StepStopped
   */
  #unlessStopped(product: tf.Tensor): tf.Tensor {
    const isStopped = this.#isStopped;
    if (isStopped === undefined) return product;
    const ask = (): void => {
      if (isStopped()) throw new StepStopped();
    };
    ask();
    return this.#tf.customGrad(() => ({
      value: this.#tf.clone(product),
      gradFunc: (derivative) => {
        ask();
        return derivative;
      },
    }))(product);
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
    const product = this.#unlessStopped(this.#tf.matMul(left, right));
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

/** Loss and derivatives of a batch on TensorFlow.js. Tests compare them with the other engine. */
export async function tfjsGradients(
  definition: StepDefinition,
  parameters: readonly Float32Array[],
  views: readonly Float32Array[],
): Promise<{ loss: number; gradients: Float32Array[] }> {
  const { module } = await loadTfjs({});
  const { loss, gradients } = evaluate(module, definition, {
    ops: new TfjsOps(module),
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
  {
    ops,
    parameters,
    views,
  }: { readonly ops: TfjsOps; readonly parameters: tf.Tensor[]; readonly views: readonly tf.Tensor[] },
): { loss: tf.Tensor; gradients: tf.Tensor[] } {
  const { value, grads } = module.valueAndGrads((...inputs: tf.Tensor[]) =>
    definition.loss<tf.Tensor>(ops, inputs, views).asScalar(),
  )(parameters);
  return { loss: value, gradients: grads };
}

/** The tensors after a step. A type and not an interface, so that it is a container of tensors. */
type Moved = { loss: tf.Tensor; parameters: tf.Tensor[]; slots: tf.Tensor[][] };

/**
 * Opens an executor that runs steps on TensorFlow.js.
 * @throws UNSUPPORTED when what is asked for is not installed, or does not work
 */
export async function createTfjsExecutor(options: ExecutorOptions, log?: Log): Promise<Executor> {
  const { definition, optimizer, initial, choice, isStopped } = options;
  const { module, report } = await loadTfjs(choice);
  log?.('debug', `training runs with ${engineText(report)}`);
  const ops = new TfjsOps(module, isStopped);
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
    engine: report,
    step(views, learningRate, stepNumber) {
      const before = [...parameters, ...slots.flat()];
      const update = (): Moved => {
        const tensors = viewTensors(module, definition, views);
        const { loss, gradients } = evaluate(module, definition, { ops, parameters, views: tensors });
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
      const moved = unlessStopped(() => withinMemory(module, () => module.tidy(update)));
      if (moved === null) return Promise.resolve(null);
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

/** What `body` returns; null if the step was stopped in its midst. */
function unlessStopped<T>(body: () => T): T | null {
  try {
    return body();
  } catch (error) {
    if (error instanceof StepStopped) return null;
    throw error;
  }
}

function floats(tensor: tf.Tensor): Float32Array {
  return Float32Array.from(tensor.dataSync());
}
