import { expect, test } from '@jest/globals';
import { Rests } from '../../../src/migrate/in-place/rests.js';
import { UNTHROTTLED, type ThrottleSettings } from '../../../src/migrate/throttle/settings.js';
import { openMemory } from '../../../adapters/memory/index.js';

test('settings that change during a rest end it', async () => {
  const store = openMemory();
  const answers: ThrottleSettings[] = [
    { maxLoad: null, nice: 100 },
    { maxLoad: null, nice: 100 },
  ];
  let reads = 0;
  const read = (): Promise<ThrottleSettings> => Promise.resolve(answers[reads++] ?? UNTHROTTLED);
  const rests = await Rests.open(store, { collection: 'docs', vectorName: '' }, { read });
  await rests.after(1_000_000);
  // At the beginning, once without a change, and once with the change that ended the rest.
  expect(reads).toBe(3);
});
