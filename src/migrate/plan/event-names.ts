/**
 * Names of the events that hooks receive. `finished`: every point was copied and found equal.
 * `cutover-failed`: nothing was switched after `before-cutover`, so writers that the hook stopped can go on.
 */
export const MIGRATION_EVENTS = [
  'started',
  'range-done',
  'verify-failed',
  'before-cutover',
  'after-cutover',
  'cutover-failed',
  'finished',
] as const;
