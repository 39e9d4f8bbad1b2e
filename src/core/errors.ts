/** Every way a call can fail; the list is closed so that callers can switch over it. */
export type ErrorCode =
  | 'INVALID_ARGUMENT' // the caller passed something unusable: options, shapes, files
  | 'INVALID_DATA' // the vectors themselves are unusable: NaN, infinity, too few, degenerate
  | 'NOT_FOUND' // collection, vector, alias or file does not exist
  | 'ALREADY_EXISTS' // refusing to touch something that is already there
  | 'UNAUTHORIZED' // no or wrong credentials
  | 'FORBIDDEN' // credentials without the needed right
  | 'UNSUPPORTED' // server version, setting or platform lacks what is needed
  | 'UNAVAILABLE' // no connection, overloaded, gave up after retries
  | 'TIMEOUT' // a bounded wait ended
  | 'MISMATCH' // fingerprints, dimensions or checkpoints disagree
  | 'VERIFY_FAILED' // the copy differs from its source
  | 'ABORTED' // stopped by the caller's signal
  | 'INTERNAL'; // a bug in this package

/**
 * The only error class of this package: `message` says what was found, what was expected and what to do.
 * @example
 * ```ts
 * import { Encoder, TldrError } from 'qdrant-tldr';
 *
 * try {
 *   await Encoder.load('missing.onnx');
 * } catch (error) {
 *   if (error instanceof TldrError) console.log(error.code, error.message); // NOT_FOUND ...
 * }
 * ```
 */
export class TldrError extends Error {
  override readonly name = 'TldrError';
  readonly fields: Readonly<Record<string, unknown>>;

  constructor(
    readonly code: ErrorCode,
    message: string,
    details: { readonly cause?: unknown; readonly [field: string]: unknown } = {},
  ) {
    const { cause, ...fields } = details;
    super(message, cause === undefined ? undefined : { cause });
    this.fields = fields;
  }
}

/**
 * True for a `TldrError`, with that code when one is given. Safe across module copies and realms.
 * @example
 * ```ts
 * import { Encoder, isTldrError } from 'qdrant-tldr';
 *
 * const encoder = await Encoder.load('missing.onnx').catch((error: unknown) => {
 *   if (isTldrError(error, 'NOT_FOUND')) return null;
 *   throw error;
 * });
 * ```
 */
export function isTldrError(error: unknown, code?: ErrorCode): error is TldrError {
  if (typeof error !== 'object' || error === null) return false;
  if (!('name' in error) || error.name !== 'TldrError' || !('code' in error)) return false;
  return code === undefined || error.code === code;
}

/**
 * Returns a value that cannot be absent, such as an item at an index within bounds.
 * @param what a noun for the value, for the error
 * @throws INTERNAL when it is absent
 */
export function expectDefined<T>(value: T | null | undefined, what: string): T {
  if (value === null || value === undefined) throw new TldrError('INTERNAL', `${what} is missing`);
  return value;
}

/** The `code` of a thrown value, such as ENOENT of the system's errors; '' if it has none. */
export function codeOf(error: unknown): string {
  return typeof error === 'object' && error !== null && 'code' in error ? String(error.code) : '';
}

/** The message of any thrown value. */
export function messageOf(error: unknown): string {
  if (typeof error === 'object' && error !== null && 'message' in error) return String(error.message);
  return String(error);
}
