import { messageOf } from '../../core/errors.js';
import type { RunOptions } from '../../core/run-options.js';
import { copiedPoints, type MigrationState } from '../state/migration-state.js';
import type { MIGRATION_EVENTS } from './event-names.js';

/** The name of an event that a hook receives. */
export type MigrationEvent = (typeof MIGRATION_EVENTS)[number];

/** Facts about an event: names and numbers, never keys, vectors or payloads. */
export type EventFacts = Readonly<Record<string, string | number>>;

/** Called at every event. The migration waits for it. */
export type MigrationHook = (event: MigrationEvent, facts: EventFacts) => Promise<void>;

/** Returns the facts that every event has. */
export function factsOf(state: MigrationState): EventFacts {
  const { sourceCollection: source, targetCollection: target, targetEndpoint: endpoint, phase } = state;
  const done = state.ranges.filter(({ complete }) => complete).length;
  const copied = copiedPoints(state);
  return { source, target, endpoint, phase, copied, rangesDone: done, rangesTotal: state.ranges.length };
}

/** Calls the hook. If the hook fails, logs a warning and continues. */
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
