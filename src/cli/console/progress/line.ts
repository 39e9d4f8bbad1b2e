import type { Progress } from '../../../core/run-options.js';
import type { OverallState } from './overall.js';

const GAP = '  ';
const BAR_MIN = 6;
const STEP_NAME_MIN = 8;

/** Speed of a step and its remaining time; null where nothing tells yet. */
export interface Pace {
  readonly perSecond: number;
  readonly secondsLeft: number | null;
}

/**
 * Returns one line for a step, at most `columns` long. Percentage, rate and remaining time come first, then the
 * step's name and a bar, then the counts. The bar takes what is left.
 */
export function progressLine(
  { step, done, total, unit }: Progress,
  { perSecond, secondsLeft }: Pace,
  columns: number,
): string {
  const known = Number.isFinite(total);
  const rate = `${perSecond < 10 ? perSecond.toFixed(1) : grouped(Math.round(perSecond))}/s`;
  const left = known ? [secondsLeft === null ? '- left' : `${durationText(secondsLeft)} left`] : [];
  const counts = known ? `${grouped(done)}/${grouped(total)} ${unit}` : `${grouped(done)} ${unit}`;
  if (!known) return cut([step, counts, rate].join(GAP), columns);
  const share = total === 0 ? 1 : Math.min(1, Math.max(0, done / total));
  const facts = [`${String(Math.floor(share * 100)).padStart(3)} %`, rate, ...left].join(GAP);
  const barFrame = GAP.length * 2 + 2;
  const nameRoom = columns - facts.length - barFrame - BAR_MIN;
  if (nameRoom < STEP_NAME_MIN) return cut(facts.trimStart(), columns);
  const name = cut(step, nameRoom);
  const withCounts = columns - name.length - facts.length - counts.length - GAP.length - barFrame;
  const hasCounts = withCounts >= BAR_MIN;
  const width = hasCounts ? withCounts : columns - name.length - facts.length - barFrame;
  const filled = Math.floor(share * width);
  const bar = `[${'='.repeat(filled)}${'-'.repeat(width - filled)}]`;
  return [name, bar, facts, ...(hasCounts ? [counts] : [])].join(GAP);
}

/** Returns the line for the whole command; null if it has a single stage. */
export function overallLine(overall: OverallState | null): string | null {
  if (overall === null || overall.of < 2) return null;
  const { stage, of, secondsLeft } = overall;
  const left = secondsLeft === null ? '' : `, about ${roughDuration(secondsLeft)} left`;
  return `step ${stage} of ${of}${left}`;
}

/** A time in two units at most: `42 s`, `3 min 5 s`, `2 h 10 min`. */
export function durationText(seconds: number): string {
  const whole = Math.ceil(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}

/** A time as a person would say it. */
function roughDuration(seconds: number): string {
  if (seconds < 55) return `${Math.max(5, Math.ceil(seconds / 5) * 5)} s`;
  const minutes = Math.max(1, Math.round(seconds / 60));
  if (minutes < 90) return `${minutes} min`;
  return `${Math.round(minutes / 60)} h`;
}

function grouped(count: number): string {
  return count.toLocaleString('en-US');
}

function cut(text: string, columns: number): string {
  return text.length <= columns ? text : `${text.slice(0, Math.max(0, columns - 1))}…`;
}
