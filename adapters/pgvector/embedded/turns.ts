/** Whether a database has an open transaction, as its last message says. */
const READY_BYTES = 6;
const READY = 'Z'.charCodeAt(0);
const IDLE = 'I'.charCodeAt(0);

/** What a client of the database gets its answers by. */
export interface TurnClient {
  readonly answer: (bytes: Uint8Array) => void;
}

interface Turn {
  readonly client: TurnClient;
  readonly request: Uint8Array;
  /** Changes the answer before the client gets it. */
  readonly shorten: (answer: Uint8Array) => Uint8Array;
}

/**
 * Lets several clients use a database that has one session. A client whose transaction is open has its turn until the
 * end of it.
 */
export class Turns {
  readonly #run: (request: Uint8Array) => Uint8Array;
  readonly #waiting: Turn[] = [];
  #owner: TurnClient | null = null;

  /** @param run sends whole messages to the database, and returns its answer */
  constructor(run: (request: Uint8Array) => Uint8Array) {
    this.#run = run;
  }

  /** Sends messages that belong together, as soon as no other client's transaction is open. */
  add(client: TurnClient, request: Uint8Array, shorten: Turn['shorten'] = (answer) => answer): void {
    this.#waiting.push({ client, request, shorten });
    this.#work();
  }

  /** Ends the open transaction of a client that is gone. */
  leave(client: TurnClient): void {
    for (let i = this.#waiting.length - 1; i >= 0; i--)
      if (this.#waiting[i]?.client === client) this.#waiting.splice(i, 1);
    if (this.#owner !== client) return;
    this.#owner = null;
    this.#run(simpleQuery('rollback'));
    this.#work();
  }

  #work(): void {
    for (;;) {
      const at = this.#waiting.findIndex(({ client }) => this.#owner === null || this.#owner === client);
      const [turn] = at < 0 ? [] : this.#waiting.splice(at, 1);
      if (turn === undefined) return;
      const { client, request, shorten } = turn;
      const answer = this.#run(request);
      this.#owner = isIdleAfter(answer) ? null : client;
      client.answer(shorten(answer));
    }
  }
}

function isIdleAfter(answer: Uint8Array): boolean {
  return answer.at(-READY_BYTES) !== READY || answer.at(-1) === IDLE;
}

function simpleQuery(text: string): Buffer {
  const body = Buffer.from(`${text}\0`);
  const head = Buffer.alloc(5);
  head.write('Q');
  head.writeInt32BE(4 + body.length, 1);
  return Buffer.concat([head, body]);
}
