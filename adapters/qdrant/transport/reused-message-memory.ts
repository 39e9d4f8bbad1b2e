import { expectDefined } from '../../../src/core/errors.js';
/** Smaller pieces are not worth keeping. */
const KEPT_BYTES_MIN = 64 * 1024;
/** Most bytes of all kept pieces together. */
const KEPT_BYTES_MAX = 64 * 1024 ** 2;
/** Sizes are rounded up to this step, since pages of points differ a little: one piece then fits them all. */
const STEP_BYTES = 256 * 1024;

/**
 * Reuses memory for messages of megabytes. New memory for each message would have to be filled with zeros,
 * and the garbage collector would run every few messages.
 */
export class ReusedMessageMemory {
  /** The kept pieces. The piece given back last is at the end. */
  readonly #kept: Uint8Array[] = [];
  #keptBytes = 0;

  /** Returns memory of at least `sizeBytes` bytes with arbitrary content. */
  take(sizeBytes: number): Uint8Array {
    if (sizeBytes < KEPT_BYTES_MIN) return fresh(sizeBytes);
    let best = -1;
    for (const [i, { length }] of this.#kept.entries())
      if (length >= sizeBytes && length < (this.#kept[best]?.length ?? Infinity)) best = i;
    const memory = best < 0 ? undefined : this.#kept.splice(best, 1)[0];
    if (memory === undefined) return fresh(Math.ceil(sizeBytes / STEP_BYTES) * STEP_BYTES);
    this.#keptBytes -= memory.length;
    return memory;
  }

  /** Takes back the memory of a view from `take`. The caller must not use it any more. */
  give({ buffer }: Uint8Array): void {
    if (buffer.byteLength < KEPT_BYTES_MIN) return;
    this.#kept.push(new Uint8Array(buffer));
    this.#keptBytes += buffer.byteLength;
    // The piece that was unused for longest is too small by now, or surplus.
    while (this.#keptBytes > KEPT_BYTES_MAX)
      this.#keptBytes -= expectDefined(this.#kept.shift(), 'a piece of memory').length;
  }
}

function fresh(sizeBytes: number): Uint8Array {
  // Not a Buffer: its views cost several times those of a Uint8Array, and a page is split into many.
  return new Uint8Array(Buffer.allocUnsafeSlow(sizeBytes).buffer);
}
