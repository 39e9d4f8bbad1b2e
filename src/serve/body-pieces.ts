/** From this size on, a piece is kept without copying: its overhead is small compared with its bytes. */
const ALONE_BYTES_MIN = 4 * 1024;
const BLOCK_BYTES_MIN = 1024;
const BLOCK_BYTES_MAX = 64 * 1024;

/**
 * Collects the pieces of a body in about as much memory as the body has bytes. Each piece has an overhead of
 * some hundred bytes and may be a small view of a large buffer, so small pieces are copied into shared
 * blocks. Otherwise, a client that sends single bytes would use far more memory than it sends.
 */
export class BodyPieces {
  readonly #parts: Buffer[] = [];
  #block = Buffer.alloc(0);
  /** Bytes of the block that are filled. */
  #filled = 0;
  #sizeBytes = 0;

  /** Bytes of all pieces. */
  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  add(piece: Buffer): void {
    const isFirst = this.#sizeBytes === 0;
    const fillsItsMemory = 2 * piece.length >= piece.buffer.byteLength;
    // Most bodies come in one piece, which is not copied.
    if (isFirst || (piece.length >= ALONE_BYTES_MIN && fillsItsMemory)) {
      this.#closeBlock();
      this.#parts.push(piece);
    } else this.#copy(piece);
    this.#sizeBytes += piece.length;
  }

  /** Returns the whole body. */
  join(): Buffer {
    this.#closeBlock();
    const [first] = this.#parts;
    return this.#parts.length === 1 && first !== undefined
      ? first
      : Buffer.concat(this.#parts, this.#sizeBytes);
  }

  /** Forgets all pieces. */
  clear(): void {
    this.#parts.length = 0;
    this.#block = Buffer.alloc(0);
    this.#filled = 0;
    this.#sizeBytes = 0;
  }

  #copy(piece: Buffer): void {
    for (let at = 0; at < piece.length;) {
      if (this.#filled === this.#block.length) this.#newBlock();
      const copied = piece.copy(this.#block, this.#filled, at);
      this.#filled += copied;
      at += copied;
    }
  }

  #newBlock(): void {
    this.#closeBlock();
    const bytes = Math.max(BLOCK_BYTES_MIN, Math.min(BLOCK_BYTES_MAX, this.#sizeBytes));
    this.#block = Buffer.allocUnsafeSlow(bytes);
  }

  /** Turns the filled part of the block into a part of its own and keeps the rest for more pieces. */
  #closeBlock(): void {
    if (this.#filled === 0) return;
    this.#parts.push(this.#block.subarray(0, this.#filled));
    this.#block = this.#block.subarray(this.#filled);
    this.#filled = 0;
  }
}
