import { connect, type ClientHttp2Session } from 'node:http2';
import type { GrpcCall } from '../../../src/serve/protocol.js';

const PREFIX_BYTES = 5;

/** What a unary call came to: its message, or a status. */
export interface GrpcResult {
  readonly code: number;
  readonly text: string;
  readonly message: Uint8Array;
}

/** Unary calls over one connection, nothing interpreted. */
export class PlainGrpc {
  readonly #session: ClientHttp2Session;

  constructor(url: string) {
    this.#session = connect(url);
    // Calls under way fail by themselves.
    this.#session.on('error', () => undefined);
  }

  call({ path, message }: GrpcCall, metadata: Readonly<Record<string, string>> = {}): Promise<GrpcResult> {
    const stream = this.#session.request({
      ':method': 'POST',
      ':path': path,
      'content-type': 'application/grpc',
      te: 'trailers',
      ...metadata,
    });
    const prefix = Buffer.alloc(PREFIX_BYTES);
    prefix.writeUInt32BE(message.length, 1);
    stream.end(Buffer.concat([prefix, message]));
    return new Promise((resolve, reject) => {
      const chunks: Buffer[] = [];
      let headers: Record<string, unknown> = {};
      const keep = (more: object): void => {
        headers = { ...headers, ...more };
      };
      stream.on('response', keep);
      stream.on('trailers', keep);
      stream.on('data', (chunk: Buffer) => chunks.push(chunk));
      stream.on('error', reject);
      stream.on('close', () => {
        const text: unknown = headers['grpc-message'];
        resolve({
          code: Number(headers['grpc-status']),
          text: decodeURIComponent(typeof text === 'string' ? text : ''),
          message: Buffer.concat(chunks).subarray(PREFIX_BYTES),
        });
      });
    });
  }

  close(): void {
    this.#session.close();
  }
}
