import { connect, createServer, type AddressInfo, type Socket } from 'node:net';

/**
 * What becomes of a chunk: sent on; the connection cut; held for ever together with all that follows; or answered by
 * the relay itself, which then closes the connection.
 */
export type Fate = 'pass' | 'cut' | 'hold' | { readonly answer: string };

export interface Chunk {
  readonly bytes: Buffer;
  readonly from: 'client' | 'server';
  /** Counts the connections made, from 1. */
  readonly connection: number;
}

export interface Relay {
  readonly url: string;
  /** Connections of either side that are open now. */
  readonly open: () => number;
  /** Cuts the connections that are held. */
  readonly cutHeld: () => void;
  readonly close: () => Promise<void>;
}

/**
 * A TCP relay to a server, which `decide` makes faulty chunk by chunk. The address is asked for anew for every
 * connection, so that a server that comes back elsewhere seems to come back where it was.
 */
export async function startRelay(to: () => string, decide: (chunk: Chunk) => Fate): Promise<Relay> {
  const sockets = new Set<Socket>();
  const heldSockets = new Set<Socket>();
  let connections = 0;
  const relay = createServer((client) => {
    const connection = ++connections;
    const upstream = connect(Number(new URL(to()).port), '127.0.0.1');
    let held = false;
    const join = (from: Socket, into: Socket, name: Chunk['from']): void => {
      sockets.add(from);
      from.on('error', () => undefined);
      from.on('data', (bytes: Buffer) => {
        const fate = held ? 'hold' : decide({ bytes, from: name, connection });
        if (fate === 'hold') {
          held = true;
          heldSockets.add(client).add(upstream);
        } else if (fate === 'pass') into.write(bytes);
        else if (fate === 'cut') {
          client.destroy();
          upstream.destroy();
        } else {
          held = true;
          client.end(fate.answer);
          upstream.destroy();
        }
      });
      // A line that went dead tells neither side that the other has left.
      from.on('close', () => {
        sockets.delete(from);
        heldSockets.delete(from);
        if (!held) into.destroy();
      });
    };
    join(client, upstream, 'client');
    join(upstream, client, 'server');
  });
  await new Promise<void>((resolve) => relay.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(relay.address() as AddressInfo).port}`,
    open: () => sockets.size,
    cutHeld: () => {
      for (const socket of heldSockets) socket.destroy();
    },
    close: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((done) => relay.close(done));
    },
  };
}

/** Loses the answer to the first `times` requests whose head begins so; the server has done what they ask. */
export function losingAnswers(
  head: string,
  times = 1,
): { decide: (chunk: Chunk) => Fate; lost: () => number } {
  const waiting = new Set<number>();
  let lost = 0;
  const decide = ({ bytes, from, connection }: Chunk): Fate => {
    if (from === 'client' && bytes.toString('latin1', 0, head.length) === head) waiting.add(connection);
    if (from === 'client' || !waiting.delete(connection) || lost >= times) return 'pass';
    lost++;
    return 'cut';
  };
  return { decide, lost: () => lost };
}

/** A TCP relay to a server that keeps back whatever a client sends until `pass` lets it go on. */
export async function startGate(
  to: string,
  pass: (bytes: Buffer) => Promise<void>,
): Promise<Pick<Relay, 'url' | 'close'>> {
  const sockets = new Set<Socket>();
  const gate = createServer((client) => {
    const upstream = connect(Number(new URL(to).port), '127.0.0.1');
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on('error', () => undefined).on('close', () => sockets.delete(socket));
    }
    upstream.pipe(client);
    const forward = async (): Promise<void> => {
      for await (const bytes of client) {
        await pass(bytes as Buffer);
        upstream.write(bytes as Buffer);
      }
    };
    forward()
      .catch(() => undefined)
      .finally(() => upstream.destroy());
  });
  await new Promise<void>((resolve) => gate.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(gate.address() as AddressInfo).port}`,
    close: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((done) => gate.close(done));
    },
  };
}
