import { constants, type ClientHttp2Stream, type IncomingHttpHeaders } from 'node:http2';
import { CODE, isReset, UpstreamStatus, watchReset } from './failures.js';
import { endWith, PREFIX_BYTES, unframe } from './frames.js';
import { endOf, type CallEnd } from './metadata.js';
import { BodyUnreadable, readWhole, type BodyBounds } from '../whole-body.js';

/** Everything of a unary call's answer. */
export interface GrpcAnswer {
  readonly headers: IncomingHttpHeaders;
  readonly trailers: IncomingHttpHeaders;
  /** Empty where the call failed. */
  readonly message: Buffer;
  readonly end: CallEnd;
}

/**
 * Sends the one message of a call and takes the whole answer.
 * @param options `timeoutMs`: longest silence, 0 for any
 * @throws BodyTooLarge, BodyUnreadable for an answer that is none, UpstreamStatus for a call that broke off, what the meter
 * throws, and errors of the connection
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
  // A call that is ended here looks like one that its server has cancelled.
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
  // What breaks after the answer is nobody's loss.
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
 * Reads the body of an answer to its end.
 * @throws BodyTooLarge, `brokenOff()` for an answer that broke off, and errors of the connection
 */
export function readAnswer(
  { upstream, brokenOff }: { readonly upstream: ClientHttp2Stream; readonly brokenOff: () => UpstreamStatus },
  bounds: BodyBounds,
): Promise<Buffer> {
  return readWhole(upstream, bounds).catch((error: unknown) => {
    throw isReset(error) || error instanceof BodyUnreadable ? brokenOff() : error;
  });
}
