import { DEADLINE } from '../hyper-parameters/deadline.js';

/** A longer timeout would fire at once. */
const TIMEOUT_MS_MAX = 2 ** 31 - 1;

/** What the deadline has to know about a training. */
export interface TimedTraining {
  /** Its share of the time of all trainings. */
  readonly share: number;
  /** Time of a step at the nominal speed, in seconds. */
  readonly stepSeconds: number;
  /** With fewer steps, it is not worth its time. */
  readonly stepsMin: number;
}

/** Parts of the work whose time is measured, because they are repeated. */
type Part = 'closed forms' | 'scores' | 'graph';

/**
 * The time that a fit of all candidates may take, and how much of it is left. An infinite budget is no deadline: then
 * every training has the steps that were planned.
 */
export class Deadline {
  private readonly startedAtMs: number;
  private readonly seconds = new Map<Part, number>();
  private startSeconds: number = DEADLINE.startSeconds;
  private longestSeconds = 0;
  /** Whether the speed is that of steps, and not of a short product before them. */
  private knowsSteps = false;
  /** How many times slower than the nominal speed this machine is. */
  slowness = 1;
  /** Time that is kept for the report, in seconds. */
  afterwards = 0;
  /** Scores that are still needed, and the most time that is kept for them, in seconds. */
  scores = { count: 0, secondsMax: 0 };
  /** Time of a second fit: as shares of the longest training's and of the neighbour graph's. */
  secondFit = { training: 0, graph: 0 };
  /** Rows of the sample that fits into the time. */
  sampleRows = 0;

  /** @param spentSeconds what an interrupted run used of the budget */
  constructor(
    readonly budgetSeconds: number,
    private readonly spentSeconds = 0,
    private readonly nowMs: () => number = () => performance.now(),
  ) {
    this.startedAtMs = nowMs();
  }

  /** Whether the clock decides anything. */
  get isSet(): boolean {
    return Number.isFinite(this.budgetSeconds);
  }

  /** Seconds since the work began. */
  get tookSeconds(): number {
    return (this.nowMs() - this.startedAtMs) / 1000;
  }

  /** Seconds that are left; below 0 once the deadline is over. */
  get leftSeconds(): number {
    return this.budgetSeconds - this.spentSeconds - this.tookSeconds;
  }

  /** Seconds that are kept for choosing a candidate, at the speed of the latest score, and for the report. */
  get keptSeconds(): number {
    const { count, secondsMax } = this.scores;
    return this.afterwards + Math.min(secondsMax, count * this.took('scores'));
  }

  /** Does a part of the work, and keeps how long it took. */
  async measure<T>(part: Part, work: () => Promise<T>): Promise<T> {
    const startedAtMs = this.nowMs();
    const result = await work();
    this.seconds.set(part, (this.nowMs() - startedAtMs) / 1000);
    return result;
  }

  /** Returns how long a part took when it was last done, in seconds; 0 if it was not done. */
  took(part: Part): number {
    return this.seconds.get(part) ?? 0;
  }

  /** Returns the time of the next training in seconds, or null if too little is left for it. */
  secondsFor(next: TimedTraining, later: readonly TimedTraining[]): number | null {
    return this.enoughFor(next, this.shareOf(next, later));
  }

  /** Returns the time of a training that was left out before, or null. The first of all trainings is worth a second fit. */
  secondsAgain(next: TimedTraining): number | null {
    const none = { training: 0, graph: 0 };
    return this.enoughFor(next, this.shareOf(next, [], this.longestSeconds === 0 ? none : this.secondFit));
  }

  /** Returns the least time in which a training that must not be left out can be done, in seconds. */
  secondsAtLeast(next: TimedTraining, later: readonly TimedTraining[]): number {
    const least = DEADLINE.stepsMin * next.stepSeconds * this.slowness;
    return Math.max(this.shareOf(next, later), least);
  }

  /** Learns from a training how fast this machine is. */
  trained(
    training: TimedTraining | undefined,
    { steps, secondsPerStep, seconds }: { steps: number; secondsPerStep: number; seconds: number },
  ): void {
    this.longestSeconds = Math.max(this.longestSeconds, seconds);
    if (steps === 0 || training === undefined) return;
    this.slowness = secondsPerStep / training.stepSeconds;
    this.knowsSteps = true;
    this.startSeconds = Math.max(0, seconds - steps * secondsPerStep);
  }

  /** A signal that fires when nothing is left for trainings; undefined without a deadline. */
  signalForTrainings(): AbortSignal | undefined {
    if (!this.isSet) return undefined;
    const leftMs = Math.floor(1000 * (this.leftSeconds - this.keptSeconds));
    return AbortSignal.timeout(Math.min(TIMEOUT_MS_MAX, Math.max(0, leftMs)));
  }

  private enoughFor({ stepsMin, stepSeconds }: TimedTraining, seconds: number): number | null {
    const slowness = this.knowsSteps ? this.slowness : Math.min(this.slowness, DEADLINE.guessedSlownessMax);
    return seconds <= 0 || seconds < stepsMin * stepSeconds * slowness ? null : seconds;
  }

  private shareOf(
    next: TimedTraining,
    later: readonly TimedTraining[],
    { training, graph } = this.secondFit,
  ): number {
    const shares = [next, ...later].map(({ share }) => share);
    const sum = shares.reduce((total, share) => total + share, 0);
    const free = this.leftSeconds - this.keptSeconds - graph * this.took('graph');
    const ofAll = Math.min(
      free - training * this.longestSeconds,
      free / (1 + (training * Math.max(...shares)) / sum),
    );
    return (ofAll * next.share) / sum - this.startSeconds;
  }
}
