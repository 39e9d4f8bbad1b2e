import type { createLogUpdate } from 'log-update';
import type { Progress } from '../../../core/run-options.js';
import { durationText, overallLine, progressLine, type Pace } from './line.js';
import { OverallProgress, type OverallState } from './overall.js';
import type { CommandStages } from './stages.js';

/** Without a terminal: the first line of a step, then the following ones. */
const FIRST_PLAIN_LINE_MS = 2_000;
const PLAIN_LINE_INTERVAL_MS = 5_000;

/** A terminal is written to at most this often. */
const REDRAW_MS = 100;

/** Width of a terminal that does not say how wide it is. */
const COLUMNS = 80;

/** Shows how far a command is. */
export interface ProgressDisplay {
  /** Says which stages the command goes through, for the line about the whole command. */
  readonly expect: (stages: CommandStages) => void;
  readonly show: (progress: Progress) => void;
  /** Takes the lines away until the next `show`. */
  readonly clear: () => void;
  /** Shows a text in place of the progress from now on. */
  readonly hold: (text: string) => void;
}

/**
 * Opens the display on standard error. On a terminal this is a line for the whole command and a line for its
 * step, rewritten in place. Without a terminal it is a plain line after two seconds and then every five.
 */
export async function openProgressDisplay(): Promise<ProgressDisplay> {
  const { stderr } = process;
  if (!stderr.isTTY) return plainLines();
  const { createLogUpdate } = await import('log-update');
  return redrawnLines(createLogUpdate(stderr), () => stderr.columns || COLUMNS);
}

function redrawnLines(draw: ReturnType<typeof createLogUpdate>, columns: () => number): ProgressDisplay {
  const steps = new StepPace();
  let overall: OverallProgress | null = null;
  let drawnAtMs = Number.NEGATIVE_INFINITY;
  let isShown = false;
  let isHeld = false;
  const redraw = (lines: readonly string[]): void => {
    draw(lines.join('\n'));
    isShown = true;
  };
  const clear = (): void => {
    if (!isShown) return;
    draw.clear();
    draw.done();
    isShown = false;
    drawnAtMs = Number.NEGATIVE_INFINITY;
  };
  return {
    expect: (stages) => void (overall = new OverallProgress(stages)),
    show: (progress) => {
      const now = performance.now();
      const { pace, isNew } = steps.see(progress, now);
      const state: OverallState | null = overall?.see(progress.step, pace.secondsLeft, now) ?? null;
      if (isHeld || (!isNew && now - drawnAtMs < REDRAW_MS)) return;
      drawnAtMs = now;
      // The last column stays free: some terminals begin a new line when it is written.
      const width = columns() - 1;
      const whole = overallLine(state);
      redraw([...(whole === null ? [] : [whole]), progressLine(progress, pace, width)]);
    },
    clear,
    hold: (text) => {
      isHeld = true;
      // A terminal shows "^C" where the cursor is: below the lines that are rewritten, which takes it away.
      if (isShown) redraw([text]);
      else console.error(`\n${text}`);
    },
  };
}

function plainLines(): ProgressDisplay {
  const steps = new StepPace();
  let nextLineAtMs = 0;
  return {
    expect: () => undefined,
    show: (progress) => {
      const { step, done, total, unit } = progress;
      const now = performance.now();
      const { pace, isNew } = steps.see(progress, now);
      if (isNew) nextLineAtMs = now + FIRST_PLAIN_LINE_MS;
      if (now < nextLineAtMs) return;
      nextLineAtMs = now + PLAIN_LINE_INTERVAL_MS;
      const of = Number.isFinite(total) ? `/${total}` : '';
      const left = pace.secondsLeft === null ? '' : `, ${durationText(pace.secondsLeft)} left`;
      console.error(`${step}: ${done}${of} ${unit}, ${pace.perSecond.toFixed(1)}/s${left}`);
    },
    clear: () => undefined,
    hold: (text) => console.error(`\n${text}`),
  };
}

/** Measures how fast the current step is. */
class StepPace {
  private step = '';
  private startedAtMs = 0;
  private startedDone = 0;
  private lastDone = 0;

  see({ step, done, total }: Progress, nowMs: number): { readonly pace: Pace; readonly isNew: boolean } {
    const isNew = step !== this.step;
    // A step may begin again, as each catch-up pass does: the rate counts from here.
    if (isNew || done < this.lastDone) {
      this.step = step;
      this.startedAtMs = nowMs;
      this.startedDone = done;
    }
    this.lastDone = done;
    const seconds = (nowMs - this.startedAtMs) / 1000;
    const perSecond = seconds > 0 ? (done - this.startedDone) / seconds : 0;
    const secondsLeft = perSecond > 0 && Number.isFinite(total) ? (total - done) / perSecond : null;
    return { pace: { perSecond, secondsLeft }, isNew };
  }
}
