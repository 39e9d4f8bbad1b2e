import { env, InferenceSession, Tensor } from 'onnxruntime-node';
import { expectDefined, messageOf, TldrError } from '../../core/errors.js';
import type { EngineChoice, EngineReport } from './engine-report.js';
import { OnnxTracer, type Traced } from './onnx-tracer.js';
import type { Executor, ExecutorOptions, Optimizer, StepDefinition, StepValues } from './ops.js';

type Tensors = Record<string, Tensor>;

/** One step as one ONNX graph: forward, derivatives and the optimiser's update. */
function traceStep(definition: StepDefinition, optimizer: Optimizer): Uint8Array {
  const tracer = new OnnxTracer();
  const views = viewInputs(tracer, definition);
  const parameters = definition.parameters.map(({ shape }, i) => tracer.input(`p${i}`, shape, true));
  const slots = definition.parameters.map(({ shape }, i) =>
    Array.from({ length: optimizer.slotsPerParameter }, (_, j) => tracer.input(`s${i}_${j}`, shape)),
  );
  const scalars = optimizer.scalars(0, 1).map((_, i) => tracer.input(`h${i}`, []));
  const loss = definition.loss(tracer, parameters, views);
  const outputs: Record<string, Traced> = { loss };
  tracer.gradients(loss, parameters).forEach((gradient, i) => {
    const spec = expectDefined(definition.parameters[i], 'the definition of a parameter');
    const parameter = expectDefined(parameters[i], 'a traced parameter');
    const moved = optimizer.update(
      tracer,
      {
        parameter,
        gradient,
        slots: expectDefined(slots[i], 'the optimizer slots of a parameter'),
        kind: spec.kind,
      },
      scalars,
    );
    outputs[`p${i}_out`] = moved.parameter;
    moved.slots.forEach((slot, j) => {
      outputs[`s${i}_${j}_out`] = slot;
    });
  });
  return tracer.build(outputs);
}

function viewInputs(tracer: OnnxTracer, { batchRows, widths }: StepDefinition): Traced[] {
  return widths.map((width, v) => tracer.input(`view${v}`, [batchRows, width]));
}

function viewFeeds({ batchRows, widths }: StepDefinition, views: readonly Float32Array[]): Tensors {
  return Object.fromEntries(
    widths.map((width, v) => [
      `view${v}`,
      new Tensor('float32', expectDefined(views[v], 'a view of the batch'), [batchRows, width]),
    ]),
  );
}

/** Loss and derivatives of a batch, without an update. Tests compare them between engines. */
export async function onnxGradients(
  definition: StepDefinition,
  parameters: readonly Float32Array[],
  views: readonly Float32Array[],
): Promise<{ loss: number; gradients: Float32Array[] }> {
  const tracer = new OnnxTracer();
  const rows = viewInputs(tracer, definition);
  const inputs = definition.parameters.map(({ shape }, i) => tracer.input(`p${i}`, shape, true));
  const loss = definition.loss(tracer, inputs, rows);
  const outputs: Record<string, Traced> = { loss };
  tracer.gradients(loss, inputs).forEach((gradient, i) => {
    outputs[`g${i}`] = gradient;
  });
  const session = await InferenceSession.create(tracer.build(outputs), { intraOpNumThreads: 1 });
  const feeds = viewFeeds(definition, views);
  definition.parameters.forEach(({ shape }, i) => {
    feeds[`p${i}`] = new Tensor('float32', expectDefined(parameters[i], 'the values of a parameter'), shape);
  });
  const result = await session.run(feeds);
  const gradients = definition.parameters.map((_, i) => floats(result[`g${i}`]).slice());
  const value = expectDefined(floats(result['loss'])[0], 'the loss');
  await session.release();
  return { loss: value, gradients };
}

/**
 * Finds out what onnxruntime-node computes on. `fellBack` says why it is not the device that was asked for.
 * @throws UNSUPPORTED when that device cannot be used, and no fallback is allowed
 */
export async function findOnnxDevice({
  device = 'cpu',
  engineFallback = false,
}: EngineChoice): Promise<{ readonly report: EngineReport; readonly fellBack: string | null }> {
  const version = expectDefined(env.versions.node, 'the version of onnxruntime-node');
  const report = (used: typeof device): EngineReport => ({
    engine: 'onnx',
    backend: 'onnxruntime-node',
    device: used,
    version,
  });
  if (device === 'cpu') return { report: report('cpu'), fellBack: null };
  const problem = await problemWithCuda();
  if (problem === null) return { report: report('cuda'), fellBack: null };
  const message = `onnxruntime-node ${version} cannot use the device cuda: ${problem}`;
  if (engineFallback) return { report: report('cpu'), fellBack: message };
  throw new TldrError('UNSUPPORTED', message, { hint: 'install-cuda-provider', version });
}

/** Adds two numbers on the device cuda. @returns what went wrong, or null */
async function problemWithCuda(): Promise<string | null> {
  const tracer = new OnnxTracer();
  const x = tracer.input('x', [1, 1]);
  try {
    const session = await InferenceSession.create(tracer.build({ y: tracer.add(x, x) }), {
      executionProviders: ['cuda'],
    });
    const { y } = await session.run({ x: new Tensor('float32', Float32Array.of(1), [1, 1]) });
    await session.release();
    return floats(y)[0] === 2 ? null : 'it computes wrong sums';
  } catch (error) {
    return messageOf(error);
  }
}

/**
 * Opens an executor that runs steps natively with onnxruntime-node. `step` blocks its thread, so use a
 * worker.
 */
export async function createOnnxExecutor(options: ExecutorOptions): Promise<Executor> {
  const { definition, optimizer, initial, threads, choice } = options;
  const { report } = await findOnnxDevice(choice);
  const session = await InferenceSession.create(traceStep(definition, optimizer), {
    executionProviders: [report.device],
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    executionMode: 'sequential',
    extra: { session: { intra_op: { allow_spinning: '0' } } },
  });
  // Inputs and outputs must not share memory, so there are two sets of buffers that swap roles after each
  // step.
  const names = definition.parameters.flatMap(({ shape }, i) => [
    { name: `p${i}`, shape, value: initial.parameters[i] },
    ...Array.from({ length: optimizer.slotsPerParameter }, (_, j) => ({
      name: `s${i}_${j}`,
      shape,
      value: initial.slots[i]?.[j],
    })),
  ]);
  const bufferSet = (): Map<string, Tensor> =>
    new Map(
      names.map(({ name, shape }) => [name, new Tensor('float32', new Float32Array(size(shape)), shape)]),
    );
  let current = bufferSet();
  let next = bufferSet();
  for (const { name, value } of names) if (value !== undefined) floats(current.get(name)).set(value);
  const read = (name: string): Float32Array => floats(current.get(name)).slice();

  return {
    engine: report,
    async step(views, learningRate, stepNumber) {
      const feeds = viewFeeds(definition, views);
      optimizer.scalars(learningRate, stepNumber).forEach((value, i) => {
        feeds[`h${i}`] = new Tensor('float32', Float32Array.of(value), []);
      });
      const fetches: Record<string, Tensor | null> = { loss: null };
      for (const [name, tensor] of current) feeds[name] = tensor;
      for (const [name, tensor] of next) fetches[`${name}_out`] = tensor;
      const result = await session.run(feeds, fetches);
      [current, next] = [next, current];
      return expectDefined(floats(result['loss'])[0], 'the loss');
    },
    values: (): Promise<StepValues> =>
      Promise.resolve({
        parameters: definition.parameters.map((_, i) => read(`p${i}`)),
        slots: definition.parameters.map((_, i) =>
          Array.from({ length: optimizer.slotsPerParameter }, (_slot, j) => read(`s${i}_${j}`)),
        ),
      }),
    close: () => session.release(),
  };
}

function size(shape: readonly number[]): number {
  return shape.reduce((product, axis) => product * axis, 1);
}

function floats(tensor: Tensor | undefined): Float32Array {
  if (tensor?.data instanceof Float32Array) return tensor.data;
  throw new TldrError('INTERNAL', 'a float32 tensor of the training graph is missing');
}
