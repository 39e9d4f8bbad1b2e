import { shapeOf } from './network.js';
import type { EncoderLayer, EncoderNetwork } from './network.js';
import { TldrError } from '../core/errors.js';
import { KERNEL_WASM_BASE64 } from './projection-kernel-wasm.js';
import { matrix, type Matrix } from '../core/matrix.js';

const PANEL_COLS = 8;
const CHUNK_ROWS = 64;
const PAGE_BYTES = 65536;

type KernelFunction = (...args: readonly number[]) => void;

interface LoadedLayer {
  readonly weightAt: number;
  readonly biasAt: number;
  readonly inDim: number;
  /** Columns rounded up to whole panels; the padding columns are zero and feed zero weights. */
  readonly outDim: number;
  readonly relu: number;
}

let compiled: WebAssembly.Module | undefined;

interface KernelCode {
  readonly memory: WebAssembly.Memory;
  readonly layer: KernelFunction;
  /** Scales rows to unit length. Arguments: byte offset, rows, columns, bytes from one row to the next. */
  readonly normalize: KernelFunction;
}

/** The generated code with its own memory. */
function instantiate(): KernelCode {
  compiled ??= new WebAssembly.Module(Buffer.from(KERNEL_WASM_BASE64, 'base64'));
  const { memory, layer, normalize } = new WebAssembly.Instance(compiled).exports;
  if (!(memory instanceof WebAssembly.Memory) || !isFunction(layer) || !isFunction(normalize)) {
    throw new TldrError('INTERNAL', 'the projection kernel lacks its exports');
  }
  return { memory, layer, normalize };
}

/** Memory for rows of `cols` values. `normalize` scales them exactly as `Kernel` does, bit for bit. */
export class KernelRows {
  /** All rows. This memory never moves. */
  readonly data: Float32Array;
  readonly #cols: number;
  readonly #normalize: KernelFunction;

  constructor(rows: number, cols: number) {
    const { memory, normalize } = instantiate();
    memory.grow(Math.ceil((rows * cols * 4) / PAGE_BYTES));
    this.data = new Float32Array(memory.buffer, 0, rows * cols);
    this.#cols = cols;
    this.#normalize = normalize;
  }

  /** Scales the first `rows` rows to unit length in place; zero rows stay zero. */
  normalize(rows: number): void {
    this.#normalize(0, rows, this.#cols, this.#cols * 4);
  }
}

/**
 * Runs a network with WebAssembly SIMD. The weights are loaded once; vectors are projected in chunks that
 * stay in the processor's cache. scripts/build-projection-kernel.mjs describes the generated kernel.
 */
export class Kernel {
  readonly #network: EncoderNetwork;
  /** All of the kernel's memory. */
  readonly #floats: Float32Array;
  readonly #layer: KernelFunction;
  readonly #normalize: KernelFunction;
  readonly #layers: readonly LoadedLayer[];
  /** Byte offsets of two chunk buffers that the layers use in turn. */
  readonly #buffers: readonly [number, number];

  constructor(network: EncoderNetwork) {
    const { memory, layer, normalize } = instantiate();
    this.#network = network;
    this.#layer = layer;
    this.#normalize = normalize;
    let at = 0;
    const reserve = (values: number): number => {
      const start = at;
      at += Math.ceil((values * 4) / 16) * 16;
      return start;
    };
    let inDim = shapeOf(network).inputDim;
    let widest = inDim;
    this.#layers = network.layers.map(({ weight, relu }) => {
      const outDim = Math.ceil(weight.cols / PANEL_COLS) * PANEL_COLS;
      const loaded = {
        weightAt: reserve(inDim * outDim),
        biasAt: reserve(outDim),
        inDim,
        outDim,
        relu: Number(relu),
      };
      inDim = outDim;
      widest = Math.max(widest, outDim);
      return loaded;
    });
    this.#buffers = [reserve(CHUNK_ROWS * widest), reserve(CHUNK_ROWS * widest)];
    memory.grow(Math.ceil(at / PAGE_BYTES));
    this.#floats = new Float32Array(memory.buffer);
    this.#layers.forEach((loaded, i) => this.#load(loaded, network.layers[i]!));
  }

  /** Projects x, n x inputDim, to n x outputDim. The caller has checked the dimension. */
  project(x: Matrix): Matrix {
    const { outputDim } = shapeOf(this.#network);
    const out = matrix(x.rows, outputDim);
    for (let start = 0; start < x.rows; start += CHUNK_ROWS) {
      this.#projectChunk(x, out, start);
    }
    return out;
  }

  #projectChunk(x: Matrix, out: Matrix, start: number): void {
    const rows = Math.min(CHUNK_ROWS, x.rows - start);
    const { normalizeInput, normalizeOutput } = this.#network;
    let [from, to] = this.#buffers;
    this.#floats.set(x.data.subarray(start * x.cols, (start + rows) * x.cols), from / 4);
    if (normalizeInput) this.#normalize(from, rows, x.cols, x.cols * 4);
    for (const { weightAt, biasAt, inDim, outDim, relu } of this.#layers) {
      this.#layer(from, weightAt, biasAt, to, rows, inDim, outDim, relu);
      [from, to] = [to, from];
    }
    const stride = this.#layers.at(-1)!.outDim;
    if (normalizeOutput) this.#normalize(from, rows, out.cols, stride * 4);
    if (stride === out.cols) {
      out.data.set(this.#floats.subarray(from / 4, from / 4 + rows * stride), start * stride);
      return;
    }
    for (let i = 0; i < rows; i++) {
      const y = from / 4 + i * stride;
      out.data.set(this.#floats.subarray(y, y + out.cols), (start + i) * out.cols);
    }
  }

  /** Copies a layer into panels of 8 columns: panel p holds columns 8p to 8p+7 of every row. */
  #load(loaded: LoadedLayer, { weight, bias }: EncoderLayer): void {
    const floats = this.#floats;
    for (let j = 0; j < weight.cols; j++) {
      const panel = loaded.weightAt / 4 + Math.floor(j / PANEL_COLS) * PANEL_COLS * loaded.inDim;
      for (let k = 0; k < weight.rows; k++) {
        floats[panel + k * PANEL_COLS + (j % PANEL_COLS)] = weight.data[k * weight.cols + j]!;
      }
    }
    if (bias !== null) floats.set(bias, loaded.biasAt / 4);
  }
}

function isFunction(value: unknown): value is KernelFunction {
  return typeof value === 'function';
}
