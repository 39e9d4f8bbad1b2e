import type { CommandStages, CommandStage } from './stages.js';

/** Before this share of the work is done, its pace says little about the rest. */
const TELLING_SHARE = 0.1;

/** How far the whole command is. */
export interface OverallState {
  /** From 1. */
  readonly stage: number;
  readonly of: number;
  /** Null while nothing tells. */
  readonly secondsLeft: number | null;
}

/** Follows a command through its stages and estimates the time that it still takes. */
export class OverallProgress {
  private readonly stages: readonly CommandStage[];
  private readonly expectedSeconds: number | null;
  private readonly within: CommandStages['within'];
  private at = -1;
  private stageStartedMs = 0;
  /** Weight and time of the stages that were seen and are over. */
  private doneWeight = 0;
  private doneSeconds = 0;

  constructor({ stages, seconds, within }: CommandStages) {
    this.stages = stages;
    this.expectedSeconds = seconds;
    this.within = within;
  }

  /**
   * Takes note of a step and returns how far the command is; null before the first known step. A step that no
   * later stage knows counts for the stage that is under way.
   * @param stepSecondsLeft null if the step does not say
   */
  see(step: string, stepSecondsLeft: number | null, nowMs: number): OverallState | null {
    const at = this.stages.findIndex(({ steps }, i) => i >= this.at && steps.test(step));
    if (at > this.at) this.enter(at, nowMs);
    if (this.at < 0) return null;
    const secondsLeft = this.secondsLeft(stepSecondsLeft, nowMs);
    if (this.within === undefined) return { stage: this.at + 1, of: this.stages.length, secondsLeft };
    const { step: stage, of, secondsAfter } = this.within;
    const isKnown = secondsLeft !== null && secondsAfter !== null;
    return { stage, of, secondsLeft: isKnown ? secondsLeft + secondsAfter : null };
  }

  private enter(at: number, nowMs: number): void {
    const before = this.stages[this.at];
    if (before !== undefined) {
      this.doneWeight += before.weight;
      this.doneSeconds += (nowMs - this.stageStartedMs) / 1000;
    }
    this.at = at;
    this.stageStartedMs = nowMs;
  }

  private secondsLeft(stepSecondsLeft: number | null, nowMs: number): number | null {
    const weightOf = (stages: readonly CommandStage[]): number =>
      stages.reduce((sum, { weight }) => sum + weight, 0);
    const total = weightOf(this.stages);
    const following = weightOf(this.stages.slice(this.at + 1));
    const current = this.stages[this.at]?.weight ?? Number.NaN;
    const elapsed = (nowMs - this.stageStartedMs) / 1000;
    if (this.expectedSeconds !== null) {
      const pace = this.expectedSeconds / total;
      return Math.max(stepSecondsLeft ?? 0, current * pace - elapsed) + following * pace;
    }
    if (stepSecondsLeft === null || elapsed + stepSecondsLeft === 0) return null;
    const stageSeconds = elapsed + stepSecondsLeft;
    const weight = this.doneWeight + current;
    const share = (this.doneWeight + (current * elapsed) / stageSeconds) / total;
    if (share < TELLING_SHARE && following > 0) return null;
    return stepSecondsLeft + (following * (this.doneSeconds + stageSeconds)) / weight;
  }
}
