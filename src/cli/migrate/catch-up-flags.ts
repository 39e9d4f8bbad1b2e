import type { Command } from 'commander';
import { TldrError } from '../../core/errors.js';
import { wholeNumber } from '../console/options.js';

const LAG_MAX = 100;
/** Default of --freeze-max, the longest stop of the writers. */
export const FREEZE_SECONDS = 60;

export interface CatchUpFlags {
  readonly catchUp?: boolean;
  readonly lagMax?: number;
}

/** Adds the flags for a source that clients write to without the proxy. */
export function withCatchUpFlags(command: Command): Command {
  return command
    .option('--catch-up', 'clients write to the source: compare and repair again and again, instead of once')
    .option(
      '--lag-max <n>',
      `with --catch-up: most points that may differ before the next step (default: ${LAG_MAX})`,
      wholeNumber,
    );
}

/** @throws INVALID_ARGUMENT when --lag-max is given without --catch-up, where it has no effect */
export function checkCatchUpFlags({ catchUp, lagMax }: CatchUpFlags): void {
  if (lagMax !== undefined && catchUp !== true)
    throw new TldrError('INVALID_ARGUMENT', '--lag-max needs --catch-up');
}

export function passesText(passes: number): string {
  return passes === 1 ? '1 pass' : `${passes} passes`;
}

/** Most points that may differ before the next step. */
export function lagMaxOf({ lagMax }: CatchUpFlags): number {
  return lagMax ?? LAG_MAX;
}
