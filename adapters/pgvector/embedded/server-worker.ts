import { PGlite } from '@electric-sql/pglite';
import { vector } from '@electric-sql/pglite-pgvector';
import { createServer } from 'node:net';
import { parentPort, workerData } from 'node:worker_threads';
import { serveClient } from './serve-client.js';
import { Turns } from './turns.js';

// A statement keeps this thread busy until it is over, so the database has a thread of its own.
const database = await PGlite.create({ extensions: { vector } });
await database.exec('create extension vector');
const turns = new Turns((request) => database.execProtocolRawSync(request));
const server = createServer((socket) => serveClient(socket, turns));
server.on('error', (error) => {
  throw error;
});
const onReady = (): void => parentPort?.postMessage(server.address());
if (typeof workerData === 'string') server.listen(workerData, onReady);
else server.listen(0, '127.0.0.1', onReady);
