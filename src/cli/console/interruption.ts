import { isTldrError, messageOf, TldrError } from '../../core/errors.js';
import { commandLine } from './check-output.js';

/** Returns the last lines of a command that was interrupted: the command that goes on. */
export function goOnText(command = commandLine()): string {
  return `to go on, run:\n  ${command}`;
}

/** Returns the error of an interrupted command. Its field `goOn` is the command that goes on. */
export function interruptedError(error: unknown): TldrError {
  const { code, message, fields, hint } = isTldrError(error)
    ? error
    : new TldrError('ABORTED', messageOf(error), { cause: error });
  const hinted = hint === undefined ? {} : { hint };
  return new TldrError(code, message, { ...fields, ...hinted, cause: error, goOn: commandLine() });
}
