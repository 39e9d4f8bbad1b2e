import { constants, type ClientHttp2Stream, type IncomingHttpHeaders } from 'node:http2';
import { endWith, PREFIX_BYTES, unframe } from './grpc-frames.js';
import { endOf, type CallEnd } from './grpc-metadata.js';
import { readWhole, type BodyBounds } from './whole-body.js';

const UNAVAILABLE = '14';
/** What clients read where the database cannot be reached. */
export const NO_ANSWER = 'the database does not answer';

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
 * @throws BodyTooLarge, BodyUnreadable for an answer that is none, what the meter throws, and errors of the connection
 */
export async function makeCall(
  stream: ClientHttp2Stream,
  message: Uint8Array,
  { timeoutMs, limitBytes, meter }: BodyBounds & { readonly timeoutMs: number },
): Promise<GrpcAnswer> {
  let headers: IncomingHttpHeaders = {};
  let trailers: IncomingHttpHeaders = {};
  let end: CallEnd = { status: UNAVAILABLE, message: NO_ANSWER };
  stream.on('response', (received: IncomingHttpHeaders) => {
    headers = received;
    end = endOf(received) ?? end;
  });
  stream.on('trailers', (received: IncomingHttpHeaders) => {
    trailers = received;
    end = endOf(received) ?? end;
  });
  // What breaks after the answer is nobody's loss.
  stream.on('error', () => undefined);
  stream.setTimeout(timeoutMs, () => stream.close(constants.NGHTTP2_CANCEL));
  endWith(stream, message);
  const body = await readWhole(stream, { limitBytes: limitBytes + PREFIX_BYTES, meter });
  if (end.status !== '0') return { headers, trailers, message: Buffer.alloc(0), end };
  return { headers, trailers, message: await unframe(body, { encoding: undefined, limitBytes }), end };
}
