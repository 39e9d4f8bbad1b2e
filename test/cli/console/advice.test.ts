import { expect, test } from '@jest/globals';
import { errorText, withAdvice } from '../../../src/cli/console/advice.js';
import { hintFields, TldrError } from '../../../src/core/errors.js';

test('an error is told with the command that helps', () => {
  const late = new TldrError('VERIFY_FAILED', 'the copy is not verified: it is copying', {
    hint: 'resume-migration',
  });
  expect(late.message).not.toContain('`');
  expect(errorText(late)).toBe('the copy is not verified: it is copying; run `migrate resume`');
});

test('an advice names what the error is about', () => {
  const proxy = new TldrError('INVALID_ARGUMENT', 'docs is in use', { hint: 'end-proxy', target: 'docs_c8' });
  expect(errorText(proxy)).toContain(
    'docs is in use: remove "migrating" from the proxy\'s entry for docs_c8',
  );
});

test('an advice that is a sentence follows the message as one', () => {
  const grpc = new TldrError('UNAVAILABLE', 'no gRPC', { hint: 'grpc-address' });
  const advice = 'Give the address for gRPC with --grpc-url or QDRANT_TLDR_GRPC_URL';
  expect(errorText(grpc)).toBe(`no gRPC. ${advice}`);
  const asked = new TldrError('UNAVAILABLE', 'Is it running there?', { hint: 'grpc-address' });
  expect(errorText(asked)).toBe(`Is it running there? ${advice}`);
});

test('the advice of a cause is told with the error that quotes it', () => {
  const cause = new TldrError('UNAUTHORIZED', 'HTTP 401', { hint: 'api-key' });
  const quoting = new TldrError('UNAUTHORIZED', `cannot serve docs: ${cause.message}`, { cause });
  expect(errorText(quoting)).toBe('cannot serve docs: HTTP 401; set QDRANT_API_KEY to a valid key');
});

test('an option is named by its flag', () => {
  const force = new TldrError('INVALID_ARGUMENT', 'force takes these words', { option: 'force' });
  expect(errorText(force)).toBe('--force takes these words');
});

test.each([new TldrError('INTERNAL', 'plain'), new Error('plain'), 'plain'])(
  'an error without a hint is told as it is (%p)',
  (error) => expect(errorText(error)).toBe('plain'),
);

test('a logged line gets the advice of its fields', () => {
  expect(withAdvice('could not remove tldr-plan-1: gone', { hint: 'remove-scratch' })).toBe(
    'could not remove tldr-plan-1: gone; remove it with plan --clean',
  );
  expect(withAdvice('a line', { hint: 'of somebody else' })).toBe('a line');
});

test('a log line that quotes an error says what to do, also if only its cause has the hint', () => {
  const cause = new TldrError('UNAUTHORIZED', 'HTTP 401', { hint: 'api-key' });
  const error = new TldrError('UNAVAILABLE', 'cannot read', { cause });
  expect(withAdvice('writes stay: HTTP 401', hintFields(error))).toBe(
    'writes stay: HTTP 401; set QDRANT_API_KEY to a valid key',
  );
  expect(hintFields(new Error('other'))).toEqual({});
});
