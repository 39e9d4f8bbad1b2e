import { COPY_TAGGED_FLOATS_WASM_BASE64 } from './copy-tagged-floats-wasm.js';
import { loadGenerated, type GeneratedCode } from './load-webassembly.js';

/** Bytes of a one-byte tag and the float behind it. */
export const FLOAT_BYTES = 5;

/** Most floats moved at once. With and without tags, they fit into one page of memory. */
const FLOATS_MAX = 4_096;
/** Floats moved at once if the run may be short. */
const FLOATS_MIN = 16;
const OUTPUT_AT = FLOATS_MAX * FLOAT_BYTES;

interface Code extends Pick<GeneratedCode, 'run'> {
  readonly bytes: Uint8Array;
  readonly values: Float32Array;
}

let code: Code | undefined;

function load(): Code {
  const { memory, run } = loadGenerated(COPY_TAGGED_FLOATS_WASM_BASE64, 'run');
  const values = new Float32Array(memory.buffer, OUTPUT_AT, FLOATS_MAX);
  return { run, bytes: new Uint8Array(memory.buffer), values };
}

/**
 * Copies consecutive floats into `into`, bit for bit, as long as each has the tag of the first and there is
 * room. Returns their number.
 */
export function floatRun(bytes: Uint8Array, into: Float32Array): number {
  const { run, bytes: memory, values } = (code ??= load());
  const most = Math.min(into.length, Math.floor(bytes.length / FLOAT_BYTES));
  let count = 0;
  while (count < most) {
    const from = count * FLOAT_BYTES;
    let wanted = Math.min(FLOATS_MAX, most - count);
    // If other fields follow soon, most of a large copy would be repeated for the next run.
    if (bytes[from + (wanted - 1) * FLOAT_BYTES] !== bytes[0]) wanted = Math.min(wanted, FLOATS_MIN);
    memory.set(bytes.subarray(from, from + wanted * FLOAT_BYTES));
    const moved = memory[0] === bytes[0] ? run(0, wanted, OUTPUT_AT) : 0;
    into.set(values.subarray(0, moved), count);
    count += moved;
    if (moved < wanted) break;
  }
  return count;
}
