import { FLOAT_RUN_WASM_BASE64 } from './float-run-wasm.js';
import { loadGenerated, type GeneratedCode } from './generated-code.js';

/** A tag of one byte and the float behind it. */
export const FLOAT_BYTES = 5;

/** Floats that are moved at once: with and without tags they take less than the memory of one page. */
const FLOATS_MAX = 4_096;
/** As many where they may be fewer. */
const FLOATS_MIN = 16;
const OUTPUT_AT = FLOATS_MAX * FLOAT_BYTES;

interface Code extends Pick<GeneratedCode, 'run'> {
  readonly bytes: Uint8Array;
  readonly values: Float32Array;
}

let code: Code | undefined;

function load(): Code {
  const { memory, run } = loadGenerated(FLOAT_RUN_WASM_BASE64, 'run');
  const values = new Float32Array(memory.buffer, OUTPUT_AT, FLOATS_MAX);
  return { run, bytes: new Uint8Array(memory.buffer), values };
}

/**
 * Moves floats that follow each other into `into`, bit by bit, each with the tag of the first, as long as there is
 * room; their number.
 */
export function floatRun(bytes: Uint8Array, into: Float32Array): number {
  const { run, bytes: memory, values } = (code ??= load());
  const most = Math.min(into.length, Math.floor(bytes.length / FLOAT_BYTES));
  let count = 0;
  while (count < most) {
    const from = count * FLOAT_BYTES;
    let wanted = Math.min(FLOATS_MAX, most - count);
    // Where other fields come soon, most of what was copied would be copied again for the next run.
    if (bytes[from + (wanted - 1) * FLOAT_BYTES] !== bytes[0]) wanted = Math.min(wanted, FLOATS_MIN);
    memory.set(bytes.subarray(from, from + wanted * FLOAT_BYTES));
    const moved = memory[0] === bytes[0] ? run(0, wanted, OUTPUT_AT) : 0;
    into.set(values.subarray(0, moved), count);
    count += moved;
    if (moved < wanted) break;
  }
  return count;
}
