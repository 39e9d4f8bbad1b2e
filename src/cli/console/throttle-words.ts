import type { ThrottleSettings } from '../../migrate/throttle/settings.js';

/** The throttle settings as a line for people. */
export function tuningLine({ maxLoad, nice }: ThrottleSettings): string {
  const rest = nice === 0 ? 'never rests' : `rests ${nice} times as long as it works`;
  return `${rest}; ${maxLoad === null ? 'does not watch the load' : `waits while searches take over ${maxLoad}`}`;
}
