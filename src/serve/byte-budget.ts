/**
 * A request that holds no more than this is not counted. The limit on requests in progress already bounds the
 * sum of such requests. Searches therefore continue while large uploads use up the whole budget.
 */
const UNCOUNTED_BYTES_MAX = 64 * 1024;
/** The budget has room again as soon as another request ends. */
const RETRY_AFTER_SECONDS = '1';

/** Thrown if the budget has no room for the bytes of a request. */
export class NoRoom extends Error {
  /** Value of the `retry-after` header, in seconds. */
  readonly retryAfter = RETRY_AFTER_SECONDS;

  constructor(limitBytes: number) {
    super(
      `the requests in progress leave no room in the ${limitBytes} bytes that the proxy may hold for bodies: repeat the request later, or send smaller bodies`,
    );
  }
}

/**
 * Called for each piece of a body as it arrives.
 * @param bytes length of the piece
 * @param soFar length of the body up to and including this piece
 * @throws NoRoom when the budget has no room for the piece
 */
export type Meter = (bytes: number, soFar: number) => void;

/** Limits the bytes of all bodies that a process holds: as received, decompressed and rewritten. */
export class ByteBudget {
  readonly limitBytes: number;
  readonly #onRefused: () => void;
  #bytes = 0;
  #holders = 0;

  /** @param onRefused called for every request that finds no room */
  constructor(limitBytes: number, onRefused: () => void = () => undefined) {
    this.limitBytes = limitBytes;
    this.#onRefused = onRefused;
  }

  /** Bytes counted at the moment. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Returns the share of a new request, empty at first. */
  open(): HeldBytes {
    return new HeldBytes(this);
  }

  /**
   * Returns whether a request may change its counted bytes from `from` to `to`. While no other request is
   * counted, only its own limits apply to it.
   */
  hasRoom(from: number, to: number): boolean {
    const isAlone = this.#holders === (from > 0 ? 1 : 0);
    return to <= from || isAlone || this.#bytes + to - from <= this.limitBytes;
  }

  /** Replaces the counted bytes of one request. */
  recount(from: number, to: number): void {
    this.#bytes += to - from;
    this.#holders += Number(to > 0) - Number(from > 0);
  }

  /** @throws NoRoom always, after telling `onRefused` */
  refuse(): never {
    this.#onRefused();
    throw new NoRoom(this.limitBytes);
  }
}

/** The bytes that one request holds of the budget. */
export class HeldBytes {
  readonly #budget: ByteBudget;
  #bytes = 0;
  #closed = false;

  constructor(budget: ByteBudget) {
    this.#budget = budget;
  }

  /**
   * Counts bytes of the client's body, and of answers to the proxy's own requests.
   * @throws NoRoom when the budget is full
   */
  readonly meter: Meter = (bytes) => this.take(bytes);

  /**
   * Counts bytes of the answer to the client. A small answer is never refused: the database has carried out the
   * request, and the client should learn the result.
   * @throws NoRoom when the answer is large and the budget is full
   */
  readonly answerMeter: Meter = (bytes, soFar) => {
    if (soFar <= UNCOUNTED_BYTES_MAX) this.add(bytes);
    else this.take(bytes);
  };

  /** Checks for room without counting anything. @throws NoRoom when the bytes have no room now */
  expect(bytes: number): void {
    if (!this.#fits(bytes)) this.#budget.refuse();
  }

  /** Counts bytes. @throws NoRoom when the budget has no room for them */
  take(bytes: number): void {
    this.expect(bytes);
    this.add(bytes);
  }

  /** Counts bytes if there is room and returns whether there was. Does not count as a refusal. */
  tryTake(bytes: number): boolean {
    const fits = this.#fits(bytes);
    if (fits) this.add(bytes);
    return fits;
  }

  /** Counts bytes even if there is no room. */
  add(bytes: number): void {
    if (!this.#closed) this.#set(this.#bytes + bytes);
  }

  /** Stops counting bytes that are no longer held. */
  give(bytes: number): void {
    this.add(-bytes);
  }

  /** Gives all bytes back. Later calls count nothing. */
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
