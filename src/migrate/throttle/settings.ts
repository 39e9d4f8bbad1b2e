import * as v from 'valibot';
import { checkJson } from '../../core/check-schema.js';
import { messageOf, TldrError } from '../../core/errors.js';

/** Throttle settings. They are stored beside the migration state and can change while the migration runs. */
export interface ThrottleSettings {
  /** The copy waits while a search of the source is slower: `2x` its baseline or `50ms`. Null: never. */
  readonly maxLoad: string | null;
  /** Rest after a batch, as a multiple of the batch's duration. 0 never rests, 1 works half of the time. */
  readonly nice: number;
}

/** No throttling: the copy runs as fast as the machine allows. */
export const UNTHROTTLED: ThrottleSettings = { maxLoad: null, nice: 0 };

const SETTINGS = v.object({ maxLoad: v.nullable(v.string()), nice: v.number() });
const NICE_MAX = 100;
/** A smaller difference from the baseline is noise. */
const SLACK_MS = 5;

/**
 * Returns the latency that `maxLoad` allows, in milliseconds. A multiple allows at least 5 ms more than the
 * baseline.
 * @throws INVALID_ARGUMENT when `maxLoad` has another form
 */
export function latencyMsMax(maxLoad: string, baselineMs: number): number {
  const match = /^(\d+(?:\.\d+)?)(x|ms)$/.exec(maxLoad);
  const value = Number(match?.[1]);
  const absolute = match?.[2] === 'ms';
  if (match === null || !(value > (absolute ? 0 : 1)))
    throw new TldrError('INVALID_ARGUMENT', `max-load "${maxLoad}": expected 2x (above 1) or 50ms`);
  return absolute ? value : Math.max(value * baselineMs, baselineMs + SLACK_MS);
}

/** @throws INVALID_ARGUMENT for values out of range */
export function checkThrottleSettings({ maxLoad, nice }: ThrottleSettings): void {
  if (maxLoad !== null) latencyMsMax(maxLoad, 1);
  if (!(nice >= 0 && nice <= NICE_MAX))
    throw new TldrError('INVALID_ARGUMENT', `nice ${nice}: expected a number from 0 to ${NICE_MAX}`);
}

/** Changes throttle settings from the next batch on. @throws INVALID_ARGUMENT when out of range */
export async function retune(
  place: {
    readonly readTuning: () => Promise<ThrottleSettings>;
    readonly writeTuning: (tuning: ThrottleSettings) => Promise<void>;
  },
  changes: Partial<ThrottleSettings> = {},
): Promise<ThrottleSettings> {
  const before = await place.readTuning();
  const { maxLoad = before.maxLoad, nice = before.nice } = changes;
  const tuning = { maxLoad, nice };
  checkThrottleSettings(tuning);
  if (maxLoad !== before.maxLoad || nice !== before.nice) await place.writeTuning(tuning);
  return tuning;
}

/** Returns throttle settings from their JSON text. @throws INVALID_DATA naming `label` */
export function parseThrottleSettings(text: string, label: string): ThrottleSettings {
  try {
    const settings = checkJson(SETTINGS, text);
    checkThrottleSettings(settings);
    return settings;
  } catch (cause) {
    const why = messageOf(cause);
    throw new TldrError('INVALID_DATA', `${label} does not hold throttle settings: ${why}`, {
      cause,
      hint: 'throttle-again',
    });
  }
}
