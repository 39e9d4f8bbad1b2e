import { expect, test } from '@jest/globals';
import { openMemory } from '../../adapters/memory/store.js';
import type { PointId } from '../../src/core/point-id.js';
import { judgementsOfExistingPoints } from '../../src/evaluate/judgements-of-existing-points.js';
import { fill, idAt, memorySpec } from '../support/migrate/fixtures.js';

test('only a point that is called relevant has to exist: other judgements stay, as with --base', async () => {
  const store = openMemory();
  await store.create(memorySpec('docs'));
  await fill(store, 'docs', 3);
  const [there, other, missing, absent] = [idAt(0), idAt(1), idAt(1_000_000), idAt(1_000_003)];
  const qrels: ReadonlyMap<PointId, number>[] = [
    new Map([
      [there, 2],
      [other, 0],
      [missing, 1],
    ]),
    new Map([
      [there, -1],
      [missing, -2],
      [absent, 0],
    ]),
  ];
  const { gains, points } = await judgementsOfExistingPoints(
    { store, collection: 'docs', vectorName: '' },
    qrels,
  );
  expect(gains).toEqual([
    new Map([
      [there, 2],
      [other, 0],
    ]),
    qrels[1],
  ]);
  expect(points).toEqual({ named: 2, found: 1 });
});
