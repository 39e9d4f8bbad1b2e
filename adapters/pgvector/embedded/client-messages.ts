/** A whole message of a client: its kind (a letter, or what a connection begins with) and its bytes. */
export interface ClientMessage {
  readonly kind: string;
  readonly bytes: Buffer;
}

const LENGTH_BYTES = 4;
/** A length, and a kind or the code of a message without one. */
const HEAD_BYTES = { started: 5, before: 8 } as const;
/** A statement that copies rows from its client; longer ones are not looked for. */
const COPY_ROWS = /^\s*copy\b[^;]*\bfrom\s+stdin\b/i;
const COPY_BYTES_MAX = 1_000;
/** Codes in the place of a version, before a connection starts. */
const BEFORE_START: Readonly<Record<number, string>> = {
  80_877_102: 'cancel',
  80_877_103: 'encryption',
  80_877_104: 'encryption',
};

/** Cuts the bytes of one connection into messages of PostgreSQL's protocol. */
export class ClientMessages {
  #rest: Buffer = Buffer.alloc(0);
  #isStarted = false;

  /** Returns the messages that these bytes complete. */
  take(bytes: Buffer): readonly ClientMessage[] {
    this.#rest = this.#rest.length === 0 ? bytes : Buffer.concat([this.#rest, bytes]);
    const messages: ClientMessage[] = [];
    for (let message = this.#next(); message !== null; message = this.#next()) messages.push(message);
    return messages;
  }

  #next(): ClientMessage | null {
    const kindBytes = this.#isStarted ? 1 : 0;
    if (this.#rest.length < HEAD_BYTES[this.#isStarted ? 'started' : 'before']) return null;
    const end = kindBytes + this.#rest.readInt32BE(kindBytes);
    if (this.#rest.length < end) return null;
    const bytes = this.#rest.subarray(0, end);
    this.#rest = this.#rest.subarray(end);
    if (this.#isStarted) return { kind: String.fromCharCode(bytes[0] ?? 0), bytes };
    const kind = BEFORE_START[bytes.readInt32BE(LENGTH_BYTES)] ?? 'start';
    this.#isStarted = kind === 'start';
    return { kind, bytes };
  }
}

/** Whether a simple query is a COPY that the client sends rows for. */
export function readsRows({ kind, bytes }: ClientMessage): boolean {
  const from = 1 + LENGTH_BYTES;
  return kind === 'Q' && COPY_ROWS.test(bytes.toString('utf8', from, from + COPY_BYTES_MAX));
}
