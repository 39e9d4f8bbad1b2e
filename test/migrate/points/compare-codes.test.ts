import { expect, test } from '@jest/globals';
import { openMemory } from '../../../adapters/memory/store.js';
import { comparedPoints } from '../../../src/migrate/points/compare-points.js';
import { planMigration } from '../../../src/migrate/plan/migration.js';
import { matrix } from '../../../src/core/matrix.js';
import { DIM, fill, idAt, memorySpec, tinyEncoder } from '../../support/migrate/fixtures.js';

const ROWS = 20;

test('a vector read from codes is the projection as far as codes can tell, and another one is not', async () => {
  const store = openMemory();
  const encoder = tinyEncoder();
  await store.create(memorySpec('docs'));
  await fill(store, 'docs', ROWS);
  const request = { source: store, target: store, encoder, sourceCollection: 'docs' };
  const plan = await planMigration({ ...request, targetCollection: 'docs_t', layout: 'two-stage' });
  await store.create(plan.targetSpec);
  for await (const batch of store.scan('docs', { vectorName: '' })) {
    const compact = encoder.project(matrix(batch.ids.length, DIM, batch.vectors.data));
    for (let i = 0; i < batch.ids.length; i++) {
      const own = compact.data.subarray(i * compact.cols, (i + 1) * compact.cols);
      // Off by about a tenth of the length, as codes are; one vector points elsewhere.
      own.forEach((value, j) => (own[j] = batch.ids[i] === idAt(3) ? -value : value + (j === 0 ? 0.1 : 0)));
    }
    const vectors = [
      { name: '', matrix: batch.vectors, has: batch.hasVector },
      { name: plan.compactName, matrix: compact, has: batch.hasVector },
    ];
    await store.upsert('docs_t', { ids: batch.ids, vectors, extra: batch.extra });
  }
  const asCodes = plan.targetSpec.vectors.map((vector) =>
    vector.name === plan.compactName ? { ...vector, componentBytes: 0.5 } : vector,
  );
  const differingIn = async (vectors: typeof asCodes): Promise<unknown[]> => {
    const found: unknown[] = [];
    const compared = { ...plan, targetSpec: { ...plan.targetSpec, vectors } };
    for await (const { id, differences } of comparedPoints(compared, request, { step: 'verifying' }))
      if (differences.length > 0) found.push(id);
    return found;
  };
  expect(await differingIn(asCodes)).toEqual([idAt(3)]);
  expect((await differingIn([...plan.targetSpec.vectors])).length).toBeGreaterThan(ROWS / 2);
  await store.close();
});
