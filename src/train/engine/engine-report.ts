/** What runs the training steps: onnxruntime-node, or TensorFlow.js. */
export type EngineName = 'onnx' | 'tfjs';
/** What computes: the processor, or an NVIDIA GPU. */
export type DeviceName = 'cpu' | 'cuda';

/** What shall run a training. */
export interface EngineChoice {
  readonly engine?: EngineName;
  /** Default: `cpu` for onnx; for tfjs the device of the fastest package that is installed. */
  readonly device?: DeviceName;
  /** Whether a slower backend or device may take the place of one that does not work. Default: no. */
  readonly engineFallback?: boolean;
}

/** Returns the choice of an engine alone, out of options that hold more. */
export function engineChoice({ engine, device, engineFallback }: EngineChoice): EngineChoice {
  return {
    ...(engine === undefined ? {} : { engine }),
    ...(device === undefined ? {} : { device }),
    ...(engineFallback === undefined ? {} : { engineFallback }),
  };
}

/** What runs a training, or ran it. */
export interface EngineReport {
  readonly engine: EngineName;
  /** The package that computes. */
  readonly backend: string;
  readonly device: DeviceName;
  /** The package's version, and that of the native library in it. */
  readonly version: string;
}

/** Returns one phrase that names the engine, its device, package and version. */
export function engineText({ engine, backend, device, version }: EngineReport): string {
  return `${engine} on ${device === 'cuda' ? 'CUDA' : 'the CPU'} (${backend} ${version})`;
}
