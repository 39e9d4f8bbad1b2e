export interface GeneratedCode {
  readonly memory: WebAssembly.Memory;
  readonly run: RunFunction;
}

type RunFunction = (...args: readonly number[]) => number;

/** Returns the memory and the exported function `name` of WebAssembly that a script of this package made. */
export function loadGenerated(base64: string, name: string): GeneratedCode {
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(Buffer.from(base64, 'base64')));
  const { memory, [name]: run } = exports;
  if (!(memory instanceof WebAssembly.Memory) || !isRunFunction(run))
    throw new Error(`generated code lacks its memory or its function "${name}"`);
  return { memory, run };
}

function isRunFunction(value: unknown): value is RunFunction {
  return typeof value === 'function';
}
