import { messageOf } from '../../core/errors.js';
import type { RunOptions } from '../../core/run.js';
import { copiedPoints, type MigrationState } from '../state/migration-state.js';

/** What others may wish to know of. `finished`: every point was copied and found equal.
 * `cutover-failed`: after before-cutover nothing was switched, so that whoever was stopped may go on. */
export const MIGRATION_EVENTS = [
  'started',
  'range-done',
  'verify-failed',
  'before-cutover',
  'after-cutover',
  'cutover-failed',
  'finished',
] as const;
export type MigrationEvent = (typeof MIGRATION_EVENTS)[number];

/** Names and numbers, never keys, vectors or payloads. */
export type EventFacts = Readonly<Record<string, string | number>>;

/** Called at every event and waited for. */
export type MigrationHook = (event: MigrationEvent, facts: EventFacts) => Promise<void>;

/** What is known at every event. */
export function factsOf(record: MigrationState): EventFacts {
  const { sourceCollection: source, targetCollection: target, targetEndpoint: endpoint, phase } = record;
  const done = record.ranges.filter(({ complete }) => complete).length;
  const copied = copiedPoints(record);
  return { source, target, endpoint, phase, copied, rangesDone: done, rangesTotal: record.ranges.length };
}

/** Tells the hook; what goes wrong there is a warning and stops nothing. */
export async function announce(
  hook: MigrationHook | undefined,
  event: MigrationEvent,
  { facts, run }: { readonly facts: EventFacts; readonly run: RunOptions },
): Promise<void> {
  try {
    await hook?.(event, facts);
  } catch (error) {
    run.log?.('warn', `the hook of ${event} failed: ${messageOf(error)}`);
  }
}
