import { CONVERGENCE } from '../hyper-parameters/deadline.js';
import { learningRateAt, type RateSchedule } from './optimizers.js';
import type { EarlyStop, TimeLimit } from './state.js';

/**
 * Turns the time of a training into its progress, so that the learning rate falls to its end just when the time does,
 * however fast the steps are. Without a limit, the steps alone decide.
 */
export class TrainingPace {
  private readonly startedAtMs: number;
  private readonly schedule: RateSchedule;
  private lastAtMs: number;
  /** Duration of the last step. */
  private stepMs = 0;
  /** Whether the time ended the training, not its steps: then nothing of it is left. */
  private timeIsUp = false;

  constructor(
    schedule: Omit<RateSchedule, 'decaySteps'>,
    private readonly given: TimeLimit | undefined,
    private readonly nowMs: () => number = () => performance.now(),
  ) {
    const { totalSteps } = schedule;
    const decaySteps = given?.steady === undefined ? totalSteps : CONVERGENCE.decayShare * totalSteps;
    this.schedule = { ...schedule, decaySteps };
    this.startedAtMs = nowMs();
    this.lastAtMs = this.startedAtMs;
  }

  /**
   * Returns where the schedule of `totalSteps` steps stands before a step: at the step itself, or further if more of the
   * time is used up than of the steps. The training is over at `totalSteps`.
   */
  at(step: number): number {
    const { totalSteps } = this.schedule;
    if (this.given === undefined) return step;
    const now = this.nowMs();
    this.stepMs = now - this.lastAtMs;
    this.lastAtMs = now;
    const spent = this.spentSeconds();
    // A step that would end later than half of it after the limit is not begun.
    this.timeIsUp = spent + this.stepMs / 2000 >= this.given.seconds;
    if (this.timeIsUp) return totalSteps;
    const { stop } = this.given.steady ?? {};
    return stop === undefined
      ? positionOf({ step, spentSeconds: spent }, this.given, totalSteps)
      : this.afterStop(step, { ...this.given, spentSeconds: spent }, stop);
  }

  /** Returns the learning rate where the schedule stands. */
  rateAt(position: number): number {
    return learningRateAt(position, this.schedule);
  }

  /** Returns the number of steps that the whole training will have at the speed so far. */
  total(step: number): number {
    const { totalSteps } = this.schedule;
    if (this.given === undefined) return totalSteps;
    const { stop } = this.given.steady ?? {};
    if (stop !== undefined) return Math.max(step, stop.step + stepsAfterStop(stop));
    const share = Math.min(1, this.spentSeconds() / this.given.seconds);
    return Math.max(step, Math.min(totalSteps, share === 0 ? totalSteps : Math.round(step / share)));
  }

  /** The limit with the time used up to now. */
  get limit(): TimeLimit | undefined {
    return this.given && { ...this.given, spentSeconds: this.spentSeconds() };
  }

  /** The last part of the schedule, in the steps that are left of it, or in what is left of the time if that is less. */
  private afterStop(step: number, { seconds, spentSeconds }: TimeLimit, stop: EarlyStop): number {
    const { totalSteps } = this.schedule;
    const progress = Math.max(
      (step - stop.step) / stepsAfterStop(stop),
      (spentSeconds - stop.spentSeconds) / (seconds - stop.spentSeconds),
    );
    return totalSteps * (1 - CONVERGENCE.decayShare * (1 - Math.min(1, progress)));
  }

  private spentSeconds(): number {
    if (this.given === undefined) return 0;
    if (this.timeIsUp) return this.given.seconds;
    return this.given.spentSeconds + (this.nowMs() - this.startedAtMs) / 1000;
  }
}

/** Where a run with a limit stands in its schedule of `totalSteps` steps, as long as it is not stopped early. */
export function positionOf(
  { step, spentSeconds }: { readonly step: number; readonly spentSeconds: number },
  { seconds }: Pick<TimeLimit, 'seconds'>,
  totalSteps: number,
): number {
  return Math.max(step, (totalSteps * spentSeconds) / seconds);
}

/** Steps in which the rate falls after a stop. */
function stepsAfterStop({ step }: EarlyStop): number {
  const { decayShare } = CONVERGENCE;
  return Math.max(1, Math.round((step * decayShare) / (1 - decayShare)));
}
