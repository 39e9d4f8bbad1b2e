import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { ClientMessages } from '../../../adapters/pgvector/embedded/client-messages.js';

/** What a server ends each answer with, and the state in which no transaction is open. */
const READY = 'Z'.charCodeAt(0);
const IDLE = 'I'.charCodeAt(0);
const KEY = 'K'.charCodeAt(0);
const HEAD_BYTES = 5;
/** Messages after which the server answers. */
const ENDS = ['Q', 'S'];

/** One session of the server, which several clients share. */
class SharedSession {
  readonly #socket: Socket;
  #rest: Buffer = Buffer.alloc(0);

  constructor(socket: Socket) {
    this.#socket = socket;
  }

  /** Sends messages, and returns the whole answer and whether no transaction is open after it. */
  async ask(bytes: Buffer): Promise<{ readonly answer: Buffer; readonly isIdle: boolean }> {
    this.#socket.write(bytes);
    for (;;) {
      const end = this.#endOfAnswer();
      if (end !== null) {
        const answer = this.#rest.subarray(0, end);
        this.#rest = this.#rest.subarray(end);
        return { answer, isIdle: answer.at(-1) === IDLE };
      }
      const [piece] = (await once(this.#socket, 'data')) as [Buffer];
      this.#rest = Buffer.concat([this.#rest, piece]);
    }
  }

  #endOfAnswer(): number | null {
    for (let at = 0; at + HEAD_BYTES <= this.#rest.length;) {
      const end = at + 1 + this.#rest.readInt32BE(at + 1);
      if (end > this.#rest.length) return null;
      if (this.#rest[at] === READY) return end;
      at = end;
    }
    return null;
  }
}

/** An answer to a new client, whose process is not that of the server. */
function withOtherProcess(answer: Buffer): Buffer {
  const changed = Buffer.from(answer);
  for (let at = 0; at + HEAD_BYTES <= changed.length; at += 1 + changed.readInt32BE(at + 1))
    if (changed[at] === KEY) changed.writeInt32BE(1_000_000_000, at + HEAD_BYTES);
  return changed;
}

/**
 * Starts a pooler in transaction mode over a server without TLS and passwords: each transaction of any client runs in the
 * one session that it has. Returns its address.
 */
export async function startTransactionPooler(
  serverUrl: string,
): Promise<{ readonly url: string; readonly stop: () => Promise<void> }> {
  const { hostname, port } = new URL(serverUrl);
  const toServer = connect(Number(port), hostname);
  const session = new SharedSession(toServer);
  const sockets: Socket[] = [];
  let greeting: Buffer | null = null;
  let turn = Promise.resolve();
  const serve = async (socket: Socket): Promise<void> => {
    const messages = new ClientMessages();
    let waiting: Buffer[] = [];
    const held: { end: (() => void) | null } = { end: null };
    for await (const piece of socket as AsyncIterable<Buffer>)
      for (const { kind, bytes } of messages.take(piece)) {
        if (kind === 'start') {
          greeting ??= (await session.ask(bytes)).answer;
          socket.write(withOtherProcess(greeting));
          continue;
        }
        if (kind === 'X') return;
        waiting.push(bytes);
        if (!ENDS.includes(kind)) continue;
        if (held.end === null) {
          const before = turn;
          turn = new Promise((resolve) => (held.end = resolve));
          await before;
        }
        const { answer, isIdle } = await session.ask(Buffer.concat(waiting));
        waiting = [];
        socket.write(answer);
        if (!isIdle) continue;
        held.end?.();
        held.end = null;
      }
  };
  const pooler = createServer((socket) => {
    sockets.push(socket);
    serve(socket)
      .catch(() => undefined)
      .finally(() => socket.end());
  });
  await new Promise<void>((resolve) => pooler.listen(0, '127.0.0.1', resolve));
  const url = new URL(serverUrl);
  url.port = String((pooler.address() as AddressInfo).port);
  const stop = async (): Promise<void> => {
    for (const socket of [...sockets, toServer]) socket.destroy();
    await new Promise((resolve) => pooler.close(resolve));
  };
  return { url: url.href, stop };
}
