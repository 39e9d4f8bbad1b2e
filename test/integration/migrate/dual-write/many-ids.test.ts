import { expect } from '@jest/globals';
import { rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { Scenario } from '../../../support/migrate/migrating-scenario.js';
import { scenarioPlace } from '../../../support/migrate/scenario-fixture.js';
import { fetchOnce } from '../../../support/server/fetch-once.js';
import { testsOn } from '../../../support/server/test-server.js';

const test = await testsOn('any');
const place = scenarioPlace();
const MIB = 1024 ** 2;
/** The points of a scenario whose ids are their numbers: `idAt(i)` with i % 3 = 1. */
const STORED = Array.from({ length: 100 }, (_, i) => 3 * i + 1);

/** The stored points, and others until the body is full. */
function bodyOf(bodyBytes: number, idOf: (at: number) => number): string {
  const ids = STORED.map(String);
  let bytes = ids.join().length;
  for (let at = 0; bytes < bodyBytes; at++) {
    const id = String(idOf(at));
    ids.push(id);
    bytes += id.length + 1;
  }
  return `{"points":[${ids.join()}]}`;
}

const BODIES = {
  'many of them the same': { body: bodyOf(14.5 * MIB, (at) => STORED[at % 3]!), status: 200 },
  // Fewer, since each is looked for. The server says that some are not there, and clears those that are.
  'each another': { body: bodyOf(2 * MIB, (at) => 1_000_000 + at), status: 404 },
};

test.each(Object.entries(BODIES))(
  'a write of a body full of ids, %s, is answered, and read again after kill -9',
  async (name, { body, status }) => {
    const scenario = await Scenario.make(place(), name.replaceAll(' ', '-'), { faults: false });
    await scenario.serve();
    await scenario.want({ state: 'copying', side: 'source' }, () => true);
    await scenario.copy();
    // While the copy runs what a write touched stays in the journal.
    const clear = `${scenario.rest}/collections/${scenario.source}/points/payload/clear?wait=true`;
    const headers = { 'content-type': 'application/json' };
    const answer = await fetchOnce(clear, { method: 'POST', headers, body });
    expect({ status: answer.status, text: await answer.text() }).toMatchObject({ status });
    expect((await scenario.differences()).length).toBe(STORED.length);
    const { size } = await stat(join(scenario.journal, 'writes.journal'));
    // A point is noted once, however often a write names it.
    if (name === 'each another') expect(size).toBeGreaterThan(body.length / 2);
    else expect(size).toBeLessThan(body.length / 100);
    await scenario.killAndServe();
    await scenario.want({ state: 'copied', side: 'source' }, ({ caughtUp, open }) => caughtUp && open === 0);
    expect(await scenario.differences()).toEqual([]);
    expect(await scenario.end()).toBe(0);
    await rm(scenario.folder, { recursive: true });
  },
);
