import { sleep, type RunOptions } from '../../core/run-options.js';
import {
  comparedPoints,
  partitionsOf,
  type ComparedPoint,
  type ComparePointsOptions,
  type Sides,
} from '../points/compare-points.js';
import { lookedAgain } from '../points/recheck-differences.js';
import type { MigrationPlan } from '../plan/migration.js';

const DIFFERENCES_MAX = 20;
const LOOKS_MAX = 10;
const LOOK_MS = 300;

/** The result of a verification. */
export interface VerifyReport {
  readonly ok: boolean;
  readonly points: number;
  /** Points that only the target has. */
  readonly extraPoints: number;
  /** At most 20 differences, each a sentence. `differenceCount` counts all. */
  readonly differences: readonly string[];
  readonly differenceCount: number;
  /** False while clients write, since two counts then never belong to the same moment. */
  readonly countsCompared: boolean;
}

/**
 * Compares every point of source and target in id order, and then counts and settings. Ids, payloads and
 * other vectors must be equal, the compact vector must equal a fresh projection, and a two-stage target must
 * hold the same full vector.
 * @example
 * ```ts
 * // Given: Qdrant, a finished migration, enc.onnx
 * import { Encoder, planMigration, verifyMigration } from 'qdrant-tldr';
 * import { openQdrant } from 'qdrant-tldr/qdrant';
 *
 * const store = await openQdrant({ url: 'http://localhost:6333' });
 * const sides = { source: store, target: store, encoder: await Encoder.load('enc.onnx') };
 * const plan = await planMigration({ ...sides, sourceCollection: 'docs', targetCollection: 'docs_small' });
 * const { ok, differences } = await verifyMigration(plan, sides);
 * console.log(ok, differences);
 * await store.close();
 * ```
 */
export async function verifyMigration(
  plan: MigrationPlan,
  sides: Sides,
  run: ComparePointsOptions & Writing = {},
): Promise<VerifyReport> {
  const compared = comparedPoints(plan, sides, { ...run, step: 'verifying' });
  return report(plan, sides, { ...run, compared });
}

/** Whether clients write during the verification. */
export interface Writing {
  /** True during dual writes: points that differ are read again, and counts are not compared. */
  readonly writing?: boolean;
}

/** Returns the settings in which the target differs. A dual write may lift its limits for a moment. */
async function settingDifferences(
  { targetCollection, targetSpec }: MigrationPlan,
  { target }: Sides,
  { signal, writing = false }: Pick<RunOptions, 'signal'> & Writing,
): Promise<readonly string[]> {
  for (let looks = 1; ; looks++) {
    const lines = target.differences(targetSpec, await target.describe(targetCollection));
    if (lines.length === 0 || !writing || looks >= LOOKS_MAX) return lines;
    await sleep(LOOK_MS, signal);
  }
}

/** Returns one report of settings, counts and the compared points. */
export async function report(
  plan: MigrationPlan,
  sides: Sides,
  run: Pick<RunOptions, 'signal'> & Writing & { readonly compared: AsyncIterable<ComparedPoint> },
): Promise<VerifyReport> {
  const { writing = false } = run;
  const differences: string[] = [];
  let [differenceCount, points, extraPoints] = [0, 0, 0];
  const differ = (text: string): void => {
    differenceCount++;
    if (differences.length < DIFFERENCES_MAX) differences.push(text);
  };
  for (const line of await settingDifferences(plan, sides, run)) differ(`setting ${line}`);
  for (const partition of writing ? [] : partitionsOf(plan.sourceSpec)) {
    const [expected, found] = await Promise.all([
      sides.source.count(plan.sourceCollection, { partition }),
      sides.target.count(plan.targetCollection, { partition }),
    ]);
    if (expected !== found) differ(`count: expected ${expected} points, got ${found}`);
  }
  for await (const point of writing ? lookedAgain(plan, sides, run) : run.compared) {
    points++;
    if (point.source === undefined) extraPoints++;
    for (const text of point.differences) differ(`point ${sides.source.keys.format(point.id)}${text}`);
  }
  const counts = { points, extraPoints, differenceCount, countsCompared: !writing };
  return { ok: differenceCount === 0, ...counts, differences };
}
