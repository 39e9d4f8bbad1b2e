import { codeOf, isTldrError, messageOf, TldrError, type ErrorCode } from '../../../src/core/errors.js';

/** An exception that a function raises without a code of its own. */
const RAISED = 'P0001';

/** SQLSTATE classes and codes, as in the manual's appendix of error codes. The longest that fits decides. */
const BY_STATE: readonly (readonly [string, ErrorCode])[] = [
  ['28', 'UNAUTHORIZED'],
  ['3D000', 'NOT_FOUND'],
  ['42501', 'FORBIDDEN'],
  ['42P01', 'NOT_FOUND'],
  ['42703', 'NOT_FOUND'],
  ['25006', 'FORBIDDEN'],
  ['57014', 'TIMEOUT'],
  ['55P03', 'TIMEOUT'],
  ['57P', 'UNAVAILABLE'],
  ['53', 'UNAVAILABLE'],
  ['08', 'UNAVAILABLE'],
  ['40', 'UNAVAILABLE'],
  ['22', 'INVALID_ARGUMENT'],
  ['0A', 'UNSUPPORTED'],
  [RAISED, 'FORBIDDEN'],
];

/** Errors of the network and of the client library, which has no codes for its own. */
const NETWORK =
  /^E(CONN|HOST|NET|PIPE|AI_|NOTFOUND|TIMEDOUT)|Connection terminated|timeout exceeded when trying to connect|timeout expired|not queryable|Client was closed/i;

/** Errors of Node.js about a certificate. */
const CERTIFICATE =
  /^(DEPTH_ZERO_SELF_SIGNED_CERT|SELF_SIGNED_CERT_IN_CHAIN|UNABLE_TO_(VERIFY_LEAF_SIGNATURE|GET_ISSUER_CERT\w*)|CERT_\w+|ERR_TLS_CERT_ALTNAME_INVALID)$/;

const SQL_STATE = /^[0-9A-Z]{5}$/;

/** Returns any error of a connection as an error of this package. Details, which may hold a row's values, stay out. */
export function failureOfStatement(error: unknown, endpoint: string): TldrError {
  if (isTldrError(error)) return error;
  const [code, message] = [codeOf(error), messageOf(error)];
  const first = message.split('\n')[0] ?? '';
  if (/does not support SSL/i.test(message))
    return new TldrError(
      'UNSUPPORTED',
      `${endpoint} has no TLS, which the sslmode of the address (or PGSSLMODE) asks for: sslmode=disable, or sslmode=prefer in the address, connects without it`,
      { cause: error },
    );
  if (/statement pooling mode/i.test(message))
    return new TldrError(
      'UNSUPPORTED',
      `${endpoint} is a pooler in statement mode, which has no transactions: give the address of the server itself, or of a pooler in session mode (for reading, transaction mode is enough)`,
      { cause: error },
    );
  if (CERTIFICATE.test(code))
    return new TldrError(
      'UNAUTHORIZED',
      `${endpoint} has a certificate that cannot be checked (${first}): give that of its issuer with sslrootcert=<file> in the address. With uselibpqcompat=true beside sslmode=require, any certificate is taken, as psql does`,
      { cause: error },
    );
  if (/no password|password must be|SASL|pg_hba/i.test(message))
    return new TldrError('UNAUTHORIZED', `${endpoint} refuses the connection: ${first}`, { cause: error });
  if (SQL_STATE.test(code) && !code.startsWith('E')) {
    const known = BY_STATE.find(([state]) => code.startsWith(state))?.[1];
    const by = code === RAISED ? 'a function of the database says so, perhaps an event trigger; ' : '';
    return new TldrError(known ?? 'INTERNAL', `${endpoint}: ${first} (${by}SQLSTATE ${code})`, {
      cause: error,
    });
  }
  if (NETWORK.test(code) || NETWORK.test(message) || code !== '')
    return new TldrError('UNAVAILABLE', `no answer from ${endpoint}: ${first || code}`, { cause: error });
  return new TldrError('INTERNAL', `${endpoint}: ${first}`, { cause: error });
}
