import { Agent, request } from 'node:http';
import { connect } from 'node:net';
import { gunzipSync } from 'node:zlib';

/** One request, exactly as it is to be sent. */
export interface Probe {
  readonly method: string;
  readonly path: string;
  /** Name and value in turn. */
  readonly headers?: readonly string[];
  readonly body?: Buffer;
  /** The body is sent in pieces, its length not announced. */
  readonly chunked?: boolean;
}

/** Everything of an answer that does not change from one asking to the next. */
export interface Probed {
  readonly status: number;
  readonly statusText: string;
  readonly headers: readonly string[];
  readonly body: string;
}

/** Headers of the connection, of the moment, or of a body whose times have as many digits as they like. */
const CHANGING = new Set(['date', 'connection', 'keep-alive', 'transfer-encoding', 'content-length']);

/** Asks over connections that are kept, or each time over a new one where the server closes them as it likes. */
export class HttpProber {
  readonly #agent: Agent;
  readonly #url: string;

  constructor(url: string, { keepAlive = true }: { readonly keepAlive?: boolean } = {}) {
    this.#agent = new Agent({ keepAlive, maxSockets: 4 });
    this.#url = url;
  }

  ask({ method, path, headers = [], body, chunked = false }: Probe): Promise<Probed> {
    const { hostname, port } = new URL(this.#url);
    const sent = [...headers, 'Host', 'the.host:1'];
    if (body !== undefined && !chunked) sent.push('Content-Length', String(body.length));
    if (body !== undefined && chunked) sent.push('Transfer-Encoding', 'chunked');
    return new Promise((resolve, reject) => {
      const call = request(
        { agent: this.#agent, hostname, port, method, path, headers: sent },
        (response) => {
          const chunks: Buffer[] = [];
          response.on('data', (chunk: Buffer) => chunks.push(chunk));
          response.on('error', reject);
          response.on('end', () => {
            const whole = Buffer.concat(chunks);
            const length = response.headers['content-length'];
            if (method !== 'HEAD' && length !== undefined && Number(length) !== whole.length)
              reject(new Error(`content-length ${length}, but ${whole.length} bytes`));
            resolve({
              status: response.statusCode ?? 0,
              statusText: response.statusMessage ?? '',
              headers: steady(response.rawHeaders),
              body: timeless(response.headers['content-encoding'] === 'gzip' ? gunzipSync(whole) : whole),
            });
          });
        },
      );
      call.on('error', reject);
      if (body === undefined) call.end();
      else if (!chunked) call.end(body);
      else {
        const half = body.length >> 1;
        call.write(body.subarray(0, half));
        setImmediate(() => call.end(body.subarray(half)));
      }
    });
  }

  close(): void {
    this.#agent.destroy();
  }
}

/** In order of their names: every process of the server has an order of its own. */
function steady(raw: readonly string[]): string[] {
  return raw
    .flatMap((name, i) => (i % 2 === 0 ? [`${name}: ${raw[i + 1] ?? ''}`] : []))
    .filter((line) => !CHANGING.has(line.slice(0, line.indexOf(':')).toLowerCase()))
    .sort();
}

function timeless(body: Buffer): string {
  return inOrder(body.toString('latin1').replace(/"time":[-+.\de]+/g, '"time":0'));
}

/** What a server finds wrong with several fields comes in no order. */
export function inOrder(text: string): string {
  return text.replace(
    /(Validation[^[]*\[)(.*)\]/,
    (_, before: string, list: string) => `${before}${list.split('; ').sort().join('; ')}]`,
  );
}

/** What a server said to bytes as they were sent. */
interface RawAnswer {
  /** Of the first answer. */
  readonly status: string;
  /** Whether the server takes no further request on the connection. */
  readonly closed: boolean;
}

/** One more request, after whose answer a server closes the connection. */
const LAST = 'GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n';

/** Sends bytes as they are, and once they are answered one more request; returns when the server has closed. */
export function sendRaw(url: string, bytes: string): Promise<RawAnswer> {
  return new Promise((resolve) => {
    const socket = connect(Number(new URL(url).port), '127.0.0.1');
    let received = '';
    socket.on('data', (chunk) => {
      if (received === '') socket.write(LAST, 'latin1');
      received += chunk.toString('latin1');
    });
    socket.on('close', () => {
      const answers = received.match(/^HTTP\/1\.1 (?!100)/gm)?.length ?? 0;
      const sent = bytes.match(/^[A-Z]+ .* HTTP\/\d\.\d\r$/gm)?.length ?? 0;
      resolve({ status: statusLine(received), closed: answers <= sent });
    });
    socket.on('error', () => undefined);
    socket.write(bytes, 'latin1');
  });
}

/** Sends bytes as they are and gives the status line of the answer; '' where the server closes without one. */
export function rawStatus(url: string, bytes: string): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect(Number(new URL(url).port), '127.0.0.1');
    let received = '';
    socket.on('data', (chunk) => {
      received += chunk.toString('latin1');
      if (received.includes('\r\n')) socket.destroy();
    });
    socket.on('close', () => resolve(statusLine(received)));
    socket.on('error', () => undefined);
    socket.write(bytes, 'latin1');
  });
}

function statusLine(received: string): string {
  return received.split('\r\n', 1)[0] ?? '';
}
