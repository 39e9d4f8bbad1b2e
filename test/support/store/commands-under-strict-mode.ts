import { expect } from '@jest/globals';
import type { CliResult } from '../cli/run-cli.js';
import type { CliPlace } from '../cli/cli-on-test-server.js';

/** Commands are given more often in a test than a rate limit lets them read: such a call waits for its turn. */
const WAITS = /^(warning: )?retrying in .*Operation requires \d+ tokens but only [\d.]+ were available/;

/** Runs a command that is expected to succeed without a request that a limit never lets through. */
export async function done(place: CliPlace, ...args: readonly string[]): Promise<CliResult> {
  const result = await place.cli(...args);
  expect({ args, ...result }).toMatchObject({ args, code: 0 });
  expect(uselessRetries(result)).toEqual([]);
  return result;
}

/** Runs a command that a limit never lets through: it says so, and retries nothing. */
export async function refused(place: CliPlace, name: string, ...args: readonly string[]): Promise<void> {
  const result = await place.cli(...args);
  expect({ args, ...result }).toMatchObject({ args, code: 7 });
  expect(uselessRetries(result)).toEqual([]);
  expect(result.stderr).toContain(`refused by ${name} of the collection's strict mode`);
  expect(result.stderr).toContain(`Raise ${name}, or switch strict mode off meanwhile`);
}

/** Warnings of a command about retries, those left out that wait for their turn. */
export function uselessRetries({ stderr }: CliResult): readonly string[] {
  return stderr.split('\n').filter((line) => line.includes('retrying') && !WAITS.test(line));
}
