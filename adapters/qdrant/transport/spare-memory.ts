/** Smaller pieces are not worth keeping. */
const KEPT_BYTES_MIN = 64 * 1024;
/** All pieces kept for later together. */
const KEPT_BYTES_MAX = 64 * 1024 ** 2;
/** Pages of points differ a little: sizes are rounded up, so that one piece serves them all. */
const STEP_BYTES = 256 * 1024;

/**
 * Memory for messages of megabytes, used again and again: fresh memory for each costs filling it with zeros, and a run
 * of the garbage collector for every few messages.
 */
export class SpareMemory {
  /** The one given back last at the end. */
  readonly #kept: Uint8Array[] = [];
  #keptBytes = 0;

  /** At least so many bytes, with anything in them. */
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

  /** Takes back what a view from `take` lies in: nobody may read or write it any more. */
  give({ buffer }: Uint8Array): void {
    if (buffer.byteLength < KEPT_BYTES_MIN) return;
    this.#kept.push(new Uint8Array(buffer));
    this.#keptBytes += buffer.byteLength;
    // What was not taken for longest is too small by now, or one too many.
    while (this.#keptBytes > KEPT_BYTES_MAX) this.#keptBytes -= this.#kept.shift()?.length ?? 0;
  }
}

function fresh(sizeBytes: number): Uint8Array {
  // No Buffer: views of one cost several times those of a Uint8Array, and a page is taken apart into many.
  return new Uint8Array(Buffer.allocUnsafeSlow(sizeBytes).buffer);
}
