import type { TimeLimit } from './state.js';

/**
 * Turns the time of a training into its progress, so that the learning rate falls to its end just when the time does,
 * however fast the steps are. Without a limit, the steps alone decide.
 */
export class TrainingPace {
  private readonly startedAtMs: number;
  private lastAtMs: number;
  /** Duration of the last step. */
  private stepMs = 0;
  private ended = false;

  constructor(
    private readonly totalSteps: number,
    private readonly given: TimeLimit | undefined,
    private readonly nowMs: () => number = () => performance.now(),
  ) {
    this.startedAtMs = nowMs();
    this.lastAtMs = this.startedAtMs;
  }

  /**
   * Returns where the schedule of `totalSteps` steps stands before a step: at the step itself, or further if more of the
   * time is used up than of the steps. The training is over at `totalSteps`.
   */
  at(step: number): number {
    if (this.given === undefined) return step;
    const now = this.nowMs();
    this.stepMs = now - this.lastAtMs;
    this.lastAtMs = now;
    const spent = this.spentSeconds();
    // A step that would end later than half of it after the limit is not begun.
    if (spent + this.stepMs / 2000 >= this.given.seconds) return this.totalSteps;
    return Math.max(step, (this.totalSteps * spent) / this.given.seconds);
  }

  /** Returns the number of steps that the whole training will have at the speed so far. */
  total(step: number): number {
    if (this.given === undefined) return this.totalSteps;
    const share = Math.min(1, this.spentSeconds() / this.given.seconds);
    return Math.max(
      step,
      Math.min(this.totalSteps, share === 0 ? this.totalSteps : Math.round(step / share)),
    );
  }

  /** Marks the training as ended: nothing of its time is left. */
  end(): void {
    this.ended = true;
  }

  /** The limit with the time used up to now. */
  get limit(): TimeLimit | undefined {
    return this.given && { ...this.given, spentSeconds: this.spentSeconds() };
  }

  private spentSeconds(): number {
    if (this.given === undefined) return 0;
    if (this.ended) return this.given.seconds;
    return this.given.spentSeconds + (this.nowMs() - this.startedAtMs) / 1000;
  }
}
