import { PLAN_BUDGET_SECONDS } from '../hyper-parameters/fit-of-candidates.js';
import { PLAN_DEADLINE } from '../hyper-parameters/plan-deadline.js';
import { Deadline } from '../train/deadline.js';
import type { PlanOptions, PlanSetup } from './prepare-plan.js';

type Budgeted = Pick<PlanOptions, 'budgetSeconds' | 'deterministic'>;

/** Time for the training of one size, in seconds, if all sizes get the same. */
export function secondsPerSize(
  { budgetSeconds, deterministic }: Budgeted,
  { dims }: Pick<PlanSetup, 'dims'>,
): number {
  const ofTrainings =
    deterministic === false
      ? PLAN_DEADLINE.trainingShare * (budgetSeconds ?? PLAN_DEADLINE.seconds)
      : (budgetSeconds ?? PLAN_BUDGET_SECONDS);
  return Math.max(1, Math.round(ofTrainings / dims.length));
}

/** The time of a plan, and what it was not enough for. */
export class PlanBudget {
  readonly deadline: Deadline;
  private readonly leftOut: number[] = [];
  private readonly unrotated = new Set<string>();
  private readonly unindexed: string[] = [];
  private readonly measured: string[] = [];
  private hasGaps = true;
  private begun: { readonly tookSeconds: number } | null = null;
  private fastestSeconds = 0;

  constructor(
    private readonly options: Budgeted,
    nowMs?: () => number,
  ) {
    const { deterministic, budgetSeconds = PLAN_DEADLINE.seconds } = options;
    this.deadline = new Deadline(
      deterministic === false ? budgetSeconds : Number.POSITIVE_INFINITY,
      0,
      nowMs,
    );
  }

  /**
   * Returns the time for the first of these sizes, which share what is left for trainings, or null if that is too little.
   * The first size of a plan is never left out.
   */
  secondsForSize(dims: readonly number[], setup: Pick<PlanSetup, 'dims'>): number | null {
    const { deadline, begun } = this;
    if (!deadline.isSet) return secondsPerSize(this.options, setup);
    const { tookSeconds, budgetSeconds } = deadline;
    if (begun !== null) {
      const seconds = tookSeconds - begun.tookSeconds;
      this.fastestSeconds = this.fastestSeconds === 0 ? seconds : Math.min(this.fastestSeconds, seconds);
    }
    const seconds = (PLAN_DEADLINE.trainingShare * budgetSeconds - tookSeconds) / dims.length;
    const [dim] = dims;
    if (dim !== undefined && begun !== null && seconds < PLAN_DEADLINE.sizeShareMin * this.fastestSeconds) {
      this.leftOut.push(dim);
      return null;
    }
    this.begun = { tookSeconds };
    return Math.max(1, seconds);
  }

  /** Whether rotations for codes can be tried; if not, a note will say so. */
  hasTimeToRotate(label: string): boolean {
    const has = this.hasLeft();
    if (!has) this.unrotated.add(label);
    return has;
  }

  /** Whether the loss among unseen points can be measured; if not, a note will say so. */
  hasTimeForGaps(): boolean {
    this.hasGaps = this.hasLeft();
    return this.hasGaps;
  }

  /** Notes how much of the sample was measured. */
  noteMeasured(
    measured: { readonly points: number; readonly queries: number; readonly leftOut: readonly string[] },
    all: { readonly points: number; readonly queries: number },
  ): void {
    this.unindexed.push(...measured.leftOut);
    const text = (count: number): string => count.toLocaleString('en-US');
    if (measured.points < all.points)
      this.measured.push(`measured on ${text(measured.points)} of ${text(all.points)} sample points`);
    if (measured.queries < all.queries)
      this.measured.push(`measured with ${text(measured.queries)} of ${text(all.queries)} queries`);
  }

  /** Says what the time was not enough for. */
  get notes(): readonly string[] {
    const why = 'no time was left of the budget';
    return [
      ...(this.leftOut.length === 0
        ? []
        : [`not trained and measured, since ${why}: ${this.leftOut.join(', ')} dimensions`]),
      ...(this.unrotated.size === 0
        ? []
        : [`no rotation was tried, since ${why}: ${[...this.unrotated].join(', ')}`]),
      ...(this.unindexed.length === 0
        ? []
        : [`not indexed and measured, since ${why}: ${this.unindexed.join('; ')}`]),
      ...(this.hasGaps
        ? []
        : [`the loss among points that nothing was fitted to was not measured, since ${why}`]),
      ...this.measured.map((part) => `${part}, since ${why}`),
    ];
  }

  private hasLeft(): boolean {
    const { isSet, leftSeconds, budgetSeconds } = this.deadline;
    return !isSet || leftSeconds >= PLAN_DEADLINE.rotationShareMin * budgetSeconds;
  }
}
