import { afterAll, beforeAll, describe, expect } from '@jest/globals';
import type { Layout } from '../../../src/store/collection.js';
import type { Filed, StoredCase } from '../wire/stored-cases.js';
import { expectAsOriginal, StoredAnswers, type Answer, type Decided } from './stored-answers.js';
import { LAYOUTS, startComparedServers, type ComparedServers } from './compared-servers.js';
import { testsOn } from '../server/test-server.js';

interface ComparedCase extends StoredCase {
  readonly expected: Readonly<Record<Layout, unknown>>;
}

/** What differs between REST and gRPC. */
interface Transport<Case extends ComparedCase> {
  readonly name: 'rest' | 'grpc';
  readonly cases: readonly Filed<Case>[];
  /** Sends a request as it is stored, to a server or to the proxy before it. */
  readonly ask: (to: { readonly url: string; readonly grpcUrl: string }, one: Case) => Promise<Answer>;
  readonly decided: (outcome: Case['expected'][Layout]) => Decided;
  /** The collection that a request may change, '' for all; null where it only reads. */
  readonly changed: (one: Case) => string | null;
  /** Whether a request is about points. What the proxy refuses changes none; a server may have done a part of it. */
  readonly aboutPoints: (one: Case) => boolean;
  /** Whether writing the points again is enough after a request. */
  readonly mendedByPoints: (one: Case) => boolean;
}

/**
 * Sends every stored request to the original and, through the proxy, to both layouts, a test for each.
 * @returns where they were sent, for more tests; there once tests run
 */
export async function compareProxyWithServer<Case extends ComparedCase>(
  transport: Transport<Case>,
): Promise<{ readonly test: Awaited<ReturnType<typeof testsOn>>; readonly place: () => ComparedServers }> {
  const { name: transportName, cases, ask, decided, changed, aboutPoints, mendedByPoints } = transport;
  const test = await testsOn('configured');
  const sent = cases.filter(({ notLive }) => notLive === undefined);
  const stored = new StoredAnswers(transportName, [...new Set(cases.map(({ file }) => file))]);
  let place: ComparedServers;

  beforeAll(async () => {
    place = await startComparedServers();
  });

  afterAll(async () => {
    stored.save();
    await place.stop();
  });

  const restore = async (one: Case, collection: string): Promise<void> => {
    if (collection === '') await place.tidy();
    else if (mendedByPoints(one)) await place.restorePoints(collection);
    else await place.restore(collection);
  };

  const run = async (one: Filed<Case>): Promise<void> => {
    const through = async (layout: Layout): Promise<Answer> => ask(await place.proxy(layout, one.facts), one);
    const [original, twoStage, compact] = await Promise.all([
      ask(place.servers.original, one),
      through('two-stage'),
      through('compact'),
    ]);
    const answers = { original, 'two-stage': twoStage, compact };
    const refusals = {
      'two-stage': decided(one.expected['two-stage']),
      compact: decided(one.expected.compact),
    };
    const collection = changed(one);
    try {
      stored.keep(one, answers);
      expectAsOriginal(one, answers, refusals);
      if (place.pinned) stored.check(one, answers);
      if (collection !== null && collection !== '' && aboutPoints(one))
        for (const layout of LAYOUTS)
          if (refusals[layout].refusal === null)
            expect(await place.differences(collection, layout)).toEqual([]);
    } finally {
      const refused = Object.values(answers).every((answer) => answer.refused);
      if (collection !== null && (!refused || aboutPoints(one))) await restore(one, collection);
    }
  };

  // What only reads comes first, so that numbers of versions are the same in every run.
  describe.each([
    ['reads', sent.filter((one) => changed(one) === null)],
    ['writes', sent.filter((one) => changed(one) !== null)],
  ])('%s', (_, some) => {
    test.each(some.map((one) => [one.file, one.name, one.rows.join('; '), one] as const))(
      '%s: %s (%s)',
      (_file, _name, _rows, one) => run(one),
    );
  });

  for (const { file, name, notLive } of cases)
    if (notLive !== undefined) process.stderr.write(`not sent: ${file}: ${name}: ${notLive}\n`);

  test('every stored answer belongs to a case, and what differs is stored', () => {
    expect(stored.leftOver(sent)).toEqual([]);
  });

  return { test, place: () => place };
}
