import type { Socket } from 'node:net';
import { ClientMessages, readsRows, type ClientMessage } from './client-messages.js';
import type { TurnClient, Turns } from './turns.js';

/** Messages after which the database answers and is ready for more. */
const ENDS = ['start', 'Q', 'S'];
/** Kinds of messages after the rows of a COPY. */
const ROWS_END = ['c', 'f'];
/** The answer to a client that asks for an encrypted connection. */
const NO_ENCRYPTION = 'N';
/** Says that the server takes the rows of a COPY: binary or not and how many columns, which clients do not need. */
const SEND_ROWS = Buffer.from([0x47, 0, 0, 0, 7, 0, 0, 0]);

/** Passes one connection's messages on to the database, and its answers back. */
export function serveClient(socket: Socket, turns: Turns): void {
  const messages = new ClientMessages();
  const client: TurnClient = {
    answer: (bytes) => {
      if (!socket.destroyed) socket.write(bytes);
    },
  };
  let waiting: ClientMessage[] = [];
  const send = (shorten?: (answer: Uint8Array) => Uint8Array): void => {
    const request = Buffer.concat(waiting.map(({ bytes }) => bytes));
    waiting = [];
    turns.add(client, request, shorten);
  };
  const take = (message: ClientMessage): void => {
    const { kind } = message;
    if (kind === 'encryption') return void socket.write(NO_ENCRYPTION);
    if (kind === 'cancel' || kind === 'X') return void socket.end();
    const [first] = waiting;
    waiting.push(message);
    // The database reads rows only from the bytes that it gets together with the statement.
    if (first !== undefined && readsRows(first)) {
      if (ROWS_END.includes(kind)) send(withoutFirst);
    } else if (readsRows(message)) socket.write(SEND_ROWS);
    else if (ENDS.includes(kind)) send();
  };
  socket.on('data', (bytes: Buffer) => messages.take(bytes).forEach(take));
  socket.on('error', () => socket.destroy());
  socket.on('close', () => turns.leave(client));
}

/** The client was told already that it may send rows. */
function withoutFirst(answer: Uint8Array): Uint8Array {
  if (answer[0] !== SEND_ROWS[0]) return answer;
  const { buffer, byteOffset, byteLength } = answer;
  return answer.subarray(1 + new DataView(buffer, byteOffset, byteLength).getInt32(1));
}
