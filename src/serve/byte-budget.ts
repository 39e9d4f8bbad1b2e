/**
 * A request that holds no more than this is not counted: the limit on requests under way bounds the sum of these. So
 * a search goes on while large uploads take all the room there is.
 */
const UNCOUNTED_BYTES_MAX = 64 * 1024;
/** Room is made as soon as one of the other requests ends. */
const RETRY_AFTER_SECONDS = '1';

/** The requests under way hold so many bytes that there is no room for more of this one. */
export class NoRoom extends Error {
  /** When the request may be repeated, as the header says it. */
  readonly retryAfter = RETRY_AFTER_SECONDS;

  constructor(limitBytes: number) {
    super(
      `the bodies under way take all of the proxy's ${limitBytes} bytes for them: repeat the request, or send smaller ones`,
    );
  }
}

/**
 * Told of each piece of a body as it comes: its length, and that of the body so far, this piece included.
 * @throws NoRoom
 */
export type Meter = (bytes: number, soFar: number) => void;

/** The limit on what all requests of a process hold together: bodies, decompressed ones and rewritten ones included. */
export class ByteBudget {
  readonly limitBytes: number;
  readonly #onRefused: () => void;
  #bytes = 0;
  #holders = 0;

  /** @param onRefused told of every request that finds no room */
  constructor(limitBytes: number, onRefused: () => void = () => undefined) {
    this.limitBytes = limitBytes;
    this.#onRefused = onRefused;
  }

  /** What is counted at the moment. */
  get bytes(): number {
    return this.#bytes;
  }

  /** The share of one request, empty at first. */
  open(): HeldBytes {
    return new HeldBytes(this);
  }

  /**
   * Whether a request may go on from so many counted bytes to so many. A request may hold what its own limits allow as
   * long as no other is counted.
   */
  hasRoom(from: number, to: number): boolean {
    const isAlone = this.#holders === (from > 0 ? 1 : 0);
    return to <= from || isAlone || this.#bytes + to - from <= this.limitBytes;
  }

  /** Counts another number of bytes for one request. */
  recount(from: number, to: number): void {
    this.#bytes += to - from;
    this.#holders += Number(to > 0) - Number(from > 0);
  }

  /** @throws NoRoom */
  refuse(): never {
    this.#onRefused();
    throw new NoRoom(this.limitBytes);
  }
}

/** What one request holds of the budget. */
export class HeldBytes {
  readonly #budget: ByteBudget;
  #bytes = 0;
  #closed = false;

  constructor(budget: ByteBudget) {
    this.#budget = budget;
  }

  /** For the pieces of a request's body, and of answers to the proxy's own questions. */
  readonly meter: Meter = (bytes) => this.take(bytes);

  /**
   * For the pieces of an answer. A small one is never refused: the request that it answers was made, and its client
   * should learn of that.
   */
  readonly answerMeter: Meter = (bytes, soFar) => {
    if (soFar <= UNCOUNTED_BYTES_MAX) this.add(bytes);
    else this.take(bytes);
  };

  /** @throws NoRoom where so many bytes find no room as things are; nothing is counted */
  expect(bytes: number): void {
    if (!this.#fits(bytes)) this.#budget.refuse();
  }

  /** Counts bytes. @throws NoRoom where there is no room for them */
  take(bytes: number): void {
    this.expect(bytes);
    this.add(bytes);
  }

  /** Counts bytes where there is room for them; false where there is not, which refuses nothing. */
  tryTake(bytes: number): boolean {
    const fits = this.#fits(bytes);
    if (fits) this.add(bytes);
    return fits;
  }

  /** Counts bytes whether there is room or not. */
  add(bytes: number): void {
    if (!this.#closed) this.#set(this.#bytes + bytes);
  }

  /** Bytes that are not held any more. */
  give(bytes: number): void {
    this.add(-bytes);
  }

  /** Gives everything back; what is counted later on is not. */
  close(): void {
    this.#set(0);
    this.#closed = true;
  }

  #fits(bytes: number): boolean {
    return this.#budget.hasRoom(counted(this.#bytes), counted(this.#bytes + bytes));
  }

  #set(bytes: number): void {
    this.#budget.recount(counted(this.#bytes), counted(bytes));
    this.#bytes = bytes;
  }
}

function counted(bytes: number): number {
  return bytes > UNCOUNTED_BYTES_MAX ? bytes : 0;
}
