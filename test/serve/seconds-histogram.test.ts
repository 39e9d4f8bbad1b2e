import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { AggregatorRegistry, Histogram, Registry } from 'prom-client';
import { SecondsHistogram } from '../../src/serve/seconds-histogram.js';

const OPTIONS = {
  name: 'seconds',
  help: 'Time',
  labelNames: ['transport', 'stage'],
  buckets: [0.001, 0.01, 0.1],
};
/** In the order in which a text happens to hold them or not. */
const sorted = (text: string): string[] => text.split('\n').toSorted();

test('shows what a histogram of the library shows, alone and of several processes together', async () => {
  const stage = fc.constantFrom('rewrite', 'upstream');
  // On, between and beyond the bounds; multiples of a power of two, so that their sum does not depend on the order.
  const seconds = fc.oneof(
    fc.constantFrom(0.001, 0.01, 0.1),
    fc.nat(1000).map((n) => n / 1024),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(fc.tuple(stage, seconds)), async (observed) => {
      const [theirs, ours] = [new Registry(), new Registry()];
      const expected = new Histogram({ ...OPTIONS, registers: [theirs] });
      const counted = new SecondsHistogram({ ...OPTIONS, registers: [ours] });
      const tallies = {
        rewrite: counted.tally({ transport: 'rest', stage: 'rewrite' }),
        upstream: counted.tally({ transport: 'rest', stage: 'upstream' }),
      };
      for (const [at, value] of observed) {
        expected.observe({ transport: 'rest', stage: at }, value);
        tallies[at].observe(value);
      }
      expect(sorted(await ours.metrics())).toEqual(sorted(await theirs.metrics()));
      const together = async (registry: Registry): Promise<string[]> => {
        const one = await registry.getMetricsAsJSON();
        return sorted(await AggregatorRegistry.aggregate([one, one]).metrics());
      };
      expect(await together(ours)).toEqual(await together(theirs));
    }),
    { numRuns: 100, seed: 1 },
  );
});
