import type * as tf from '@tensorflow/tfjs';
import { createRequire } from 'node:module';
import { messageOf, TldrError } from '../../core/errors.js';
import type { DeviceName, EngineChoice, EngineReport } from './engine-report.js';

export type TfModule = typeof tf;

const TFJS = '@tensorflow/tfjs';
const CUDA_PACKAGE = '@tensorflow/tfjs-node-gpu';
const NATIVE_PACKAGE = '@tensorflow/tfjs-node';
const WASM_PACKAGE = '@tensorflow/tfjs-backend-wasm';

/** A WebAssembly memory has addresses of 32 bits. */
const WASM_BYTES_MAX = 2 ** 32;
/** Number of copies of the weights that a step holds at the same time. 65,536 x 880 weights just fit (measured). */
const WASM_COPIES = 17;

/** A way to run TensorFlow.js. Users install its package, and TensorFlow.js itself, separately. */
interface Way {
  readonly name: string;
  readonly backend: 'tensorflow' | 'wasm' | 'cpu';
  readonly device: DeviceName;
}

const NATIVE: Way = { name: NATIVE_PACKAGE, backend: 'tensorflow', device: 'cpu' };
const CUDA: Way = { name: CUDA_PACKAGE, backend: 'tensorflow', device: 'cuda' };
const WASM: Way = { name: WASM_PACKAGE, backend: 'wasm', device: 'cpu' };
/** The fastest first. */
const WAYS: readonly Way[] = [CUDA, NATIVE, WASM];
/** What else computes, slower, if the user allows it: the package for CUDA without a device, and plain JavaScript. */
const CUDA_WITHOUT_DEVICE: Way = { name: CUDA_PACKAGE, backend: 'tensorflow', device: 'cpu' };
const PLAIN: Way = { name: TFJS, backend: 'cpu', device: 'cpu' };
const WITH_FALLBACKS: readonly Way[] = [CUDA, NATIVE, CUDA_WITHOUT_DEVICE, WASM, PLAIN];

/** TensorFlow.js with the backend that it runs on. */
export interface TfjsBackend {
  readonly module: TfModule;
  readonly report: EngineReport;
  /** Why a slower backend took the place of the one that was asked for; null if none did. */
  readonly fellBack: string | null;
}

// A loader of CommonJS modules, since these also look into the folders of NODE_PATH.
const require = createRequire(import.meta.url);

/**
 * Checks that the weights of an encoder fit into the memory of the backend that will be used.
 * @throws INVALID_ARGUMENT when it is the WebAssembly backend and they do not fit
 */
export function checkTfjsMemory(weightBytes: number, { device }: EngineChoice = {}): void {
  if (weightBytes * WASM_COPIES <= WASM_BYTES_MAX) return;
  const ways = WAYS.filter((way) => device === undefined || way.device === device);
  if (ways.find(({ name }) => isInstalled(name))?.name === WASM_PACKAGE) throw wasmTooSmall();
}

/** The error of weights that do not fit into the WebAssembly backend's memory. */
export function wasmTooSmall(cause?: unknown): TldrError {
  return new TldrError(
    'INVALID_ARGUMENT',
    `the tfjs engine's backend ${WASM_PACKAGE} has at most ${WASM_BYTES_MAX / 2 ** 30} GiB of memory, and training takes about ${WASM_COPIES} times the memory of the encoder's weights: give fewer dimensions, install ${NATIVE_PACKAGE}, or use the engine onnx`,
    { cause },
  );
}

/**
 * Loads TensorFlow.js with the backend for this device: the fastest that is installed. With `engineFallback`, the next
 * slower one takes its place if it does not work, down to plain JavaScript.
 * @throws UNSUPPORTED when nothing suitable is installed, or what is installed does not work
 */
export async function loadTfjs(choice: EngineChoice): Promise<TfjsBackend> {
  const { device, engineFallback = false } = choice;
  if (engineFallback) return loadWithFallbacks(device);
  const way = WAYS.filter((other) => device === undefined || other.device === device).find(({ name }) =>
    isInstalled(name),
  );
  if (way === undefined) throw nothingInstalled(device);
  return open(way);
}

async function loadWithFallbacks(device: DeviceName | undefined): Promise<TfjsBackend> {
  const problems: string[] = [];
  if (device === 'cuda' && !isInstalled(CUDA_PACKAGE)) problems.push(`${CUDA_PACKAGE} is not installed`);
  for (const way of WITH_FALLBACKS) {
    if ((device === 'cpu' && way.device !== 'cpu') || !isInstalled(way.name)) continue;
    if (way === PLAIN) problems.push('no faster backend works');
    try {
      const opened = await open(way);
      return problems.length === 0 ? opened : { ...opened, fellBack: problems.join('; ') };
    } catch (error) {
      problems.push(messageOf(error));
    }
  }
  throw nothingInstalled(device);
}

function isInstalled(name: string): boolean {
  try {
    require.resolve(name);
    return true;
  } catch {
    return false;
  }
}

function nothingInstalled(device: DeviceName | undefined): TldrError {
  const what =
    device === 'cuda'
      ? `the tfjs engine needs the package ${CUDA_PACKAGE} for the device cuda`
      : isInstalled(TFJS)
        ? `the tfjs engine needs a backend, ${TFJS} alone computes in plain JavaScript`
        : 'the tfjs engine needs TensorFlow.js, which does not come with this package';
  return new TldrError('UNSUPPORTED', what, { hint: 'install-tensorflow' });
}

/** Loads the package of this way. @throws UNSUPPORTED when it does not load, or finds no CUDA device */
async function open(way: Way): Promise<TfjsBackend> {
  let module: TfModule;
  let accepted: boolean;
  try {
    restoreRemovedFunction();
    if (way.backend === 'wasm') require(way.name);
    // The native packages bring TensorFlow.js in a version of their own. Another copy does not know their backend.
    module = asTfjs(require(way.backend === 'tensorflow' ? way.name : TFJS));
    accepted = await module.setBackend(way.backend);
  } catch (cause) {
    throw broken(way, messageOf(cause), cause);
  }
  if (!accepted) throw broken(way, 'it was refused as a backend');
  const native = nativeFacts(module.backend());
  if (way.device === 'cuda' && native?.usesGpu !== true)
    throw new TldrError(
      'UNSUPPORTED',
      `the package ${way.name} was loaded, but TensorFlow found no CUDA device that it can use: check the driver with nvidia-smi, and the versions of CUDA and cuDNN`,
      { hint: 'install-tensorflow' },
    );
  return { module, report: reportOf(way, native, module.version_core), fellBack: null };
}

function broken({ name }: Way, why: string, cause?: unknown): TldrError {
  return new TldrError('UNSUPPORTED', `the package ${name} is installed, but it does not load: ${why}`, {
    hint: 'install-tensorflow',
    cause,
  });
}

/** Facts about a native backend: the version of the C library, and whether it computes on a GPU. */
interface NativeFacts {
  readonly library: string;
  readonly usesGpu: boolean;
}

function nativeFacts(backend: unknown): NativeFacts | null {
  const usesGpu: unknown = field(backend, 'isUsingGpuDevice');
  const library: unknown = field(field(backend, 'binding'), 'TF_Version');
  return typeof library === 'string' ? { library, usesGpu: usesGpu === true } : null;
}

function reportOf(way: Way, native: NativeFacts | null, core: string): EngineReport {
  return {
    engine: 'tfjs',
    backend: way.name,
    device: native?.usesGpu === true ? 'cuda' : 'cpu',
    version: native === null ? core : `${core}, TensorFlow ${native.library}`,
  };
}

function asTfjs(loaded: unknown): TfModule {
  if (isTfjs(loaded)) return loaded;
  throw new TldrError('UNSUPPORTED', 'it is not TensorFlow.js');
}

function isTfjs(loaded: unknown): loaded is TfModule {
  return ['setBackend', 'valueAndGrads', 'tidy'].every((name) => typeof field(loaded, name) === 'function');
}

function field(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, name) : undefined;
}

/** Node 23 removed a function of `util` that the native packages call. */
function restoreRemovedFunction(): void {
  const util: unknown = require('node:util');
  if (typeof util !== 'object' || util === null || 'isNullOrUndefined' in util) return;
  Object.assign(util, { isNullOrUndefined: (value: unknown) => value === null || value === undefined });
}
