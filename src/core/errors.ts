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
 * What a caller can do about an error: a key for programs. The error's `message` says what was found, and `fields`
 * holds the names that the advice needs. The command line turns each key into the command or flag to use.
 */
export type Hint =
  // What to do about a migration
  | 'start-migration' // start one, or give the place of its state
  | 'resume-migration' // run it again: it continues and verifies
  | 'resume-paused' // it was paused: run it again to continue
  | 'resume-catch-up' // run it again with `lagMax`, since clients write to the source
  | 'resume-settings' // run it again: it puts the target's settings right
  | 'finish-copy' // run it again: it finishes the copy and verifies it
  | 'verify' // compare source and target again
  | 'verify-and-repair' // stop the writers, compare again, and run it again to repair
  | 'verify-or-roll-back' // the target is in use: it can be compared, or taken out of use
  | 'cut-over-first' // cut over, or complete without a cut-over
  | 'cut-over-table-first' // cut over by any form
  | 'roll-back-first' // roll back before the target is removed
  // How to call
  | 'name-alias' // give the alias to switch
  | 'clients-project' // serve the target first, or say that clients project their vectors
  | 'switch-own-name' // a collection's own name is switched by the proxy, or as a bare name
  | 'switch-by-proxy' // cut over by the proxy
  | 'migrate-with-journal' // switch an alias, or start the migration again with a journal
  | 'migrate-as-float32' // abort, and start again with the datatype float32
  | 'same-journal' // continue with the journal that the migration began with, or abort it
  | 'omit-catch-up' // leave the catch-up out
  | 'omit-worker' // copy with a single run
  | 'locate-state' // give the place of the migration state
  | 'other-state-place' // give another place for this migration's state, and keep the one that is there
  | 'restore-state' // restore the migration state from a backup
  | 'restore-journal' // restore the journal from a backup, or abort the migration
  | 'fewer-ranges' // copy fewer ranges at a time, or with fewer workers
  | 'throttle-again' // remove the throttle settings and set them again
  | 'smaller-sample' // train with fewer rows
  | 'parquet-column' // name the column of the file that holds the vectors
  | 'key-columns' // name the columns that identify a point
  | 'remove-scratch' // remove the scratch collection
  | 'encoder-script' // make the encoder's function in the database
  | 'fewer-queries' // ask fewer queries, or raise the server's rate limit
  | 'install-tensorflow' // install a backend of TensorFlow.js, or allow a slower one
  | 'install-cuda-provider' // install CUDA and ONNX Runtime's provider for it, or allow the processor
  // What to do about the proxy
  | 'start-proxy' // run the proxy with the migration's journal. Fields: source, target
  | 'correct-proxy' // its entry names other collections: correct it, or give another journal
  | 'end-proxy' // serve the target without "migrating", then repeat. Field: target
  | 'drain-proxy' // let the proxy bring all writes over, then as `end-proxy`. Field: target
  | 'wait-for-writes' // wait until the proxy has brought all writes over
  | 'force-roll-back' // run the proxy again, or say that no writes are missing. Field: words
  // How to reach the server
  | 'server-address' // give the server's address
  | 'rest-address' // give the address of a server that answers
  | 'grpc-address' // give the server's gRPC address
  | 'api-key' // give a valid API key
  | 'give-server'; // no server can be started here: give the address of one

/**
 * The only error class of this package. `message` says what was found and what was expected. `hint`, if there is
 * one, says what to do: a key, which the command line turns into a command or a flag. `fields` holds names and
 * numbers for programs.
 * @example
 * ```ts
 * import { Encoder, TldrError } from 'qdrant-tldr';
 *
 * try {
 *   await Encoder.load('missing.onnx');
 * } catch (error) {
 *   if (error instanceof TldrError) console.log(error.code, error.message, error.hint); // NOT_FOUND ...
 * }
 * ```
 */
export class TldrError extends Error {
  override readonly name = 'TldrError';
  readonly hint: Hint | undefined;
  readonly fields: Readonly<Record<string, unknown>>;

  constructor(
    readonly code: ErrorCode,
    message: string,
    details: { readonly cause?: unknown; readonly hint?: Hint; readonly [field: string]: unknown } = {},
  ) {
    const { cause, hint, ...fields } = details;
    super(message, cause === undefined ? undefined : { cause });
    this.hint = hint;
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

/**
 * Returns the first error with a hint among an error and its causes, since a new message may quote its cause.
 */
function hintedIn(error: unknown): TldrError | undefined {
  for (let cause = error; isTldrError(cause); cause = cause.cause) if (cause.hint !== undefined) return cause;
  return undefined;
}

/** Fields for a log line that quotes an error: with them, the line can say what to do. */
export function hintFields(error: unknown): Readonly<Record<string, unknown>> {
  const hinted = hintedIn(error);
  return hinted === undefined ? {} : { ...hinted.fields, hint: hinted.hint };
}

/** Packages with a library in machine code, each with what its library needs. */
const NATIVE_PACKAGES: Readonly<Record<string, string>> = {
  'hnswlib-node':
    'a library compiled on this machine. Install python3, make and a C++ compiler, then install qdrant-tldr again and let install scripts run. Or train with exact neighbours, which need no HNSW graph of the sample',
  'onnxruntime-node':
    'the library for this machine, which is made for Linux with glibc (so not for Alpine), for macOS on Apple silicon, and for Windows. Install qdrant-tldr again here and with this Node, and copy no node_modules from another machine',
  'fs-native-extensions':
    'the library for this machine. Install qdrant-tldr again here and with this Node, and copy no node_modules from another machine',
};

/**
 * Returns the error for a package whose library in machine code cannot be loaded: what happened, what was expected and
 * what to do. Returns null for any other error.
 */
export function nativeLibraryError(error: unknown): TldrError | null {
  if (isTldrError(error)) return null;
  const message = messageOf(error);
  if (!/cannot find (module|addon|package)|could not locate the bindings|\.node\b/i.test(message))
    return null;
  const name = Object.keys(NATIVE_PACKAGES).find((known) => message.includes(known));
  if (name === undefined) return null;
  // A message of several lines ends its first one with an announcement: "Require stack:", "... Tried:".
  const [reason = ''] = message.split('\n');
  return new TldrError(
    'UNSUPPORTED',
    `${name} cannot be loaded by Node ${process.version} on ${process.platform} ${process.arch} (${reason.replace(/(\. Tried)?:$/, '')}), expected ${expectDefined(NATIVE_PACKAGES[name], 'its need')}`,
    { cause: error },
  );
}
