import { messageOf, TldrError } from '../../core/errors.js';

/** How much of the servers a migration may take. Kept beside its record, and may be changed while it runs. */
export interface ThrottleSettings {
  /** Slowest that a search of the source may become before the copy waits: `2x` its baseline, or `50ms`; or null. */
  readonly maxLoad: string | null;
  /** Rest between batches, in times of what a batch took: 0 never rests, 1 works half of the time. */
  readonly nice: number;
}

/** As fast as the machine allows. */
export const UNTHROTTLED: ThrottleSettings = { maxLoad: null, nice: 0 };

const NICE_MAX = 100;
/** Less than this is noise, whatever the baseline. */
const SLACK_MS = 5;

/**
 * The latency that `maxLoad` allows, in milliseconds. A multiple is never less than 5 ms above the baseline.
 * @throws INVALID_ARGUMENT
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

/** Changes how much a migration may take, from its next batch on. @throws INVALID_ARGUMENT */
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

/** A tuning from its text. @throws INVALID_DATA naming `label` */
export function parseThrottleSettings(text: string, label: string): ThrottleSettings {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value !== 'object' || value === null) throw new TldrError('INVALID_DATA', 'no object');
    const fields = new Map<string, unknown>(Object.entries(value));
    const [maxLoad, nice] = [fields.get('maxLoad'), fields.get('nice')];
    if ((maxLoad !== null && typeof maxLoad !== 'string') || typeof nice !== 'number')
      throw new TldrError('INVALID_DATA', 'expected "maxLoad" and "nice"');
    checkThrottleSettings({ maxLoad, nice });
    return { maxLoad, nice };
  } catch (cause) {
    const why = messageOf(cause);
    throw new TldrError(
      'INVALID_DATA',
      `${label} is no tuning: ${why}: remove it, and give --max-load and --nice again by \`migrate tune\`: it holds these two settings, nothing else is lost`,
      { cause },
    );
  }
}
