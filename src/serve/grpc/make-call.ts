import { constants, type ClientHttp2Stream, type IncomingHttpHeaders } from 'node:http2';
import { CODE, isReset, UpstreamStatus, watchReset } from './failures.js';
import { endWith, PREFIX_BYTES, unframe } from './frames.js';
import { endOf, type CallEnd } from './metadata.js';
import { BodyUnreadable, readWhole, type BodyBounds } from '../whole-body.js';

/** The whole answer to a unary call. */
export interface GrpcAnswer {
  readonly headers: IncomingHttpHeaders;
  readonly trailers: IncomingHttpHeaders;
  /** Empty if the call failed. */
  readonly message: Buffer;
  readonly end: CallEnd;
}

/**
 * Sends the one message of a call and returns the whole answer.
 * @param options `timeoutMs`: longest silence, 0 for no limit
 * @throws BodyTooLarge, BodyUnreadable when the answer is not one gRPC message, UpstreamStatus when the call
 * broke off, and the errors of the meter and of the connection
 */
export async function makeCall(
  stream: ClientHttp2Stream,
  message: Uint8Array,
  { timeoutMs, limitBytes, meter }: BodyBounds & { readonly timeoutMs: number },
): Promise<GrpcAnswer> {
  let headers: IncomingHttpHeaders = {};
  let trailers: IncomingHttpHeaders = {};
  const wasReset = watchReset(stream);
  let isLate = false;
  // If the proxy ends the call on its timeout, the call looks as if the server had cancelled it.
  const brokenOff = (): UpstreamStatus =>
    isLate
      ? new UpstreamStatus(CODE.unavailable, `the database did not answer within ${timeoutMs} ms`)
      : wasReset();
  stream.on('response', (received: IncomingHttpHeaders) => {
    headers = received;
  });
  stream.on('trailers', (received: IncomingHttpHeaders) => {
    trailers = received;
  });
  // An error after the answer loses nothing.
  stream.on('error', () => undefined);
  stream.setTimeout(timeoutMs, () => {
    isLate = true;
    stream.close(constants.NGHTTP2_CANCEL);
  });
  endWith(stream, message);
  const bounds = { limitBytes: limitBytes + PREFIX_BYTES, meter };
  const body = await readAnswer({ upstream: stream, brokenOff }, bounds);
  const end = endOf({ ...headers, ...trailers });
  if (end === null) throw brokenOff();
  if (end.status !== '0') return { headers, trailers, message: Buffer.alloc(0), end };
  return { headers, trailers, message: await unframe(body, { encoding: undefined, limitBytes }), end };
}

/**
 * Returns the body of an answer, read to its end.
 * @throws BodyTooLarge, `brokenOff()` when the answer broke off, and the errors of the connection
 */
export function readAnswer(
  { upstream, brokenOff }: { readonly upstream: ClientHttp2Stream; readonly brokenOff: () => UpstreamStatus },
  bounds: BodyBounds,
): Promise<Buffer> {
  return readWhole(upstream, bounds).catch((error: unknown) => {
    throw isReset(error) || error instanceof BodyUnreadable ? brokenOff() : error;
  });
}
