import { componentBytesOf } from '../../../src/store/vector-number-format.js';
import type { Encoder } from '../../../src/encoder/model.js';
import type { QdrantStore } from '../../../adapters/qdrant/index.js';
import { copyPoints } from '../../../src/migrate/copy/points.js';
import { FRESH, identityOf, type MigrationState } from '../../../src/migrate/state/migration-state.js';
import { chooseProjector, RecordedProjector } from '../../../src/migrate/points/projector.js';
import { openThrottle } from '../../../src/migrate/throttle/throttle.js';
import type { MigrationPlan } from '../../../src/migrate/plan/migration.js';
import { UNTHROTTLED } from '../../../src/migrate/throttle/settings.js';

export interface CopyOnce {
  readonly plan: MigrationPlan;
  readonly store: QdrantStore;
  readonly encoder: Encoder;
  readonly batchSize: number;
}

/** Creates and fills a target as a migration does, in one range, and verifies nothing. */
export async function copyOnce({ plan, store, encoder, batchSize }: CopyOnce): Promise<void> {
  await store.create(plan.targetSpec);
  const range = { partition: null, from: null, to: null, cursor: null, complete: false, points: 0 };
  const state: MigrationState = {
    version: 3,
    ...identityOf(plan),
    phase: 'copying',
    ranges: [range],
    ...FRESH,
  };
  const componentBytes = componentBytesOf(plan.targetSpec, plan.compactName);
  const projector = new RecordedProjector(encoder, await chooseProjector(plan.points, {}));
  const sides = { source: store, target: store, encoder, projector };
  const { leftOut, points } = plan;
  const request = { ...sides, state, leftOut, componentBytes, points };
  const save = (): Promise<void> => Promise.resolve();
  const place = { readTuning: () => Promise.resolve(UNTHROTTLED) };
  const watched = { ...plan, source: store, target: store, place, baselineMs: null };
  const throttle = await openThrottle({ ...watched, changed: () => undefined });
  await copyPoints({ ...request, concurrency: 1, batchSize, saveIntervalMs: 1000, save, throttle });
  throttle.end();
  await projector.close();
  await store.finishBulkLoad(plan.targetSpec);
}
