import { expectDefined } from '../core/errors.js';

/** Possible ends and ticks of the axis: shares of the true results that are missed, the largest first. */
const MISSED = [
  1, 0.5, 0.3, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001, 0.0005, 0.0002, 0.0001,
] as const;
/** Pixels between two ticks that keep their labels apart. */
const TICK_PIXELS_MIN = 22;

/**
 * A recall axis that is logarithmic in the share that is missed: .99 and .999 are as far apart as 0 and .9. A
 * recall of 1 is drawn at the top.
 */
export interface LogRecallAxis {
  /** Heights of the lower and the upper end. */
  readonly domain: readonly [number, number];
  /** Heights of the ticks. */
  readonly ticks: readonly number[];
  /** Returns the height of a recall, within the domain. */
  readonly height: (recall: number) => number;
  /** Returns the label of a tick. */
  readonly format: (height: number) => string;
}

/**
 * Returns the smallest axis that covers all recalls.
 * @param recalls the recalls of the marks; they decide how far up the axis reaches
 * @param intervals their intervals; an end above the axis is drawn at the top
 * @param pixels height of the axis
 */
export function logRecallAxis(
  recalls: readonly number[],
  intervals: readonly (readonly [number, number])[],
  pixels: number,
): LogRecallAxis {
  const all = [...recalls, ...intervals.flat()].filter((recall) => Number.isFinite(recall));
  const misses = recalls.map((recall) => 1 - recall).filter((miss) => miss > 0);
  const least = misses.length === 0 ? 0.01 : Math.min(0.5, ...misses);
  // The tolerance keeps a recall that is itself a tick on that tick.
  const floor = MISSED.find((miss) => miss <= least * 1.0001) ?? expectDefined(MISSED.at(-1), 'a tick');
  const most = Math.max(floor * 2, ...all.map((recall) => 1 - recall));
  const start = [...MISSED].reverse().find((miss) => miss >= most * 0.9999) ?? 1;
  const height = (recall: number): number => -Math.log10(Math.min(start, Math.max(1 - recall, floor)));
  const domain = [-Math.log10(start), -Math.log10(floor)] as const;
  const reachesTop = all.some((recall) => 1 - recall < floor * 0.9999);
  const shown = MISSED.filter((miss) => miss <= start && miss >= floor);
  return {
    domain,
    height,
    ticks: spread(
      shown.map((miss) => -Math.log10(miss)),
      pixels / (domain[1] - domain[0]),
    ),
    format: (at) => (reachesTop && at === domain[1] ? '1' : String(Number((1 - 10 ** -at).toFixed(4)))),
  };
}

/** The highest tick, then each lower one whose label does not touch the next label. */
function spread(ticks: readonly number[], pixelsPerUnit: number): number[] {
  const kept: number[] = [];
  for (const tick of [...ticks].reverse()) {
    const above = kept.at(-1);
    if (above === undefined || (above - tick) * pixelsPerUnit >= TICK_PIXELS_MIN) kept.push(tick);
  }
  return kept.reverse();
}
