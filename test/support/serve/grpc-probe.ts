import {
  connect,
  type ClientHttp2Session,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
} from 'node:http2';

/** One call, exactly as it is to be sent. */
export interface GrpcProbe {
  readonly path: string;
  /** Frames with their prefixes. */
  readonly body: Buffer;
  readonly metadata?: OutgoingHttpHeaders;
}

/** Everything of a call's answer. */
export interface GrpcProbed {
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
  readonly trailers: IncomingHttpHeaders;
  readonly resetCode: number;
}

/** A message with its prefix. */
export function framed(message: Uint8Array, flag = 0): Buffer {
  const prefix = Buffer.alloc(5);
  prefix.writeUInt8(flag, 0);
  prefix.writeUInt32BE(message.length, 1);
  return Buffer.concat([prefix, message]);
}

/** Calls over one connection, nothing interpreted. */
export class GrpcProber {
  readonly session: ClientHttp2Session;

  /** @param ca the authority that an https server's certificate is to be of */
  constructor(url: string, ca?: Buffer) {
    this.session = connect(url, { ca });
    this.session.on('error', () => undefined);
  }

  call({ path, body, metadata = {} }: GrpcProbe): Promise<GrpcProbed> {
    const stream = this.session.request({
      ':method': 'POST',
      ':path': path,
      'content-type': 'application/grpc',
      te: 'trailers',
      ...metadata,
    });
    stream.end(body);
    return new Promise((resolve) => {
      const chunks: Buffer[] = [];
      let headers: IncomingHttpHeaders = {};
      let trailers: IncomingHttpHeaders = {};
      stream.on('response', (received: IncomingHttpHeaders) => (headers = received));
      stream.on('trailers', (received: IncomingHttpHeaders) => (trailers = received));
      stream.on('data', (chunk: Buffer) => chunks.push(chunk));
      stream.on('error', () => undefined);
      stream.on('close', () =>
        resolve({ headers, body: Buffer.concat(chunks), trailers, resetCode: stream.rstCode }),
      );
    });
  }

  close(): void {
    this.session.destroy();
  }
}

/** Headers without some of them, as plain data. */
export function headersWithout(headers: IncomingHttpHeaders, ...names: string[]): Record<string, unknown> {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !names.includes(name)));
}
