import { describe, expect, test as anyTest } from '@jest/globals';
import { existsSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { readReport, writeDesiredState } from '../../../../src/migrate/dual-write/proxy-state-files.js';
import { DIM } from '../../../support/migrate/fixtures.js';
import { Scenario } from '../../../support/migrate/migrating-scenario.js';
import { scenarioPlace } from '../../../support/migrate/scenario-fixture.js';
import { OWN_PIDS, ownPidsAllowed, startServe } from '../../../support/serve/serve-child.js';
import { fetchOnce } from '../../../support/server/fetch-once.js';
import { testsOn } from '../../../support/server/test-server.js';

const test = await testsOn('any');
const place = scenarioPlace();
const canUnshare = ownPidsAllowed('two proxies that do not see each other');
const IDS = [8_000_001, 8_000_002, 8_000_003];

async function write(scenario: Scenario, id: number | undefined): Promise<void> {
  const points = [{ id, vector: Array(DIM).fill(1), payload: { written: id } }];
  const answer = await fetchOnce(`${scenario.rest}/collections/${scenario.source}/points?wait=true`, {
    method: 'PUT',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ points }),
  });
  expect({ status: answer.status, text: await answer.text() }).toMatchObject({ status: 200 });
}

async function pointsThere(collection: string): Promise<unknown> {
  const answer = await fetchOnce(`${place().directUrl}/collections/${collection}/points`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ ids: IDS, with_payload: true }),
  });
  const { result } = (await answer.json()) as { result: { id: number }[] };
  return result.map(({ id }) => id).sort();
}

/** Another proxy with the same configuration, and so with the same journal, says why it does not start. */
async function anotherIsRefused(scenario: Scenario, before: readonly string[]): Promise<void> {
  const another = startServe(scenario.folder, [], { before, running: place().running });
  await expect(another).rejects.toThrow(/another run \(process \d+ on .+\) works on .+writes\.journal/);
}

describe('two proxies with one journal', () => {
  const cases = [
    { name: 'on one machine', before: [], run: test },
    { name: 'that do not see each other', before: OWN_PIDS, run: canUnshare ? test : anyTest.skip },
  ];
  for (const { name, before, run } of cases)
    run(`${name}: only the first one starts, and nothing that it took is lost`, async () => {
      const scenario = await Scenario.make(place(), `two-${before.length}`, { faults: false });
      await scenario.serve(before);
      await writeDesiredState(scenario.journal, { state: 'copying', side: 'source' });
      while ((await readReport(scenario.journal))?.state !== 'copying')
        await new Promise((resolve) => setTimeout(resolve, 20));
      await scenario.copy();
      // Copied already: from here on only the journal knows that these points have to be brought over.
      await write(scenario, IDS[0]);
      await anotherIsRefused(scenario, before);
      await write(scenario, IDS[1]);
      // The lock is still there: that of the first is not what the second one removed.
      await anotherIsRefused(scenario, before);
      expect(existsSync(join(scenario.journal, 'writes.journal.lock'))).toBe(true);
      await write(scenario, IDS[2]);
      expect(await pointsThere(scenario.target)).toEqual([]);
      await scenario.kill();
      await scenario.serve();
      await scenario.want(
        { state: 'copied', side: 'source' },
        ({ caughtUp, open }) => caughtUp && open === 0,
      );
      expect(await pointsThere(scenario.source)).toEqual(IDS);
      expect(await pointsThere(scenario.target)).toEqual(IDS);
      expect(await scenario.differences()).toEqual([]);
      expect(await scenario.end()).toBe(0);
      await rm(scenario.folder, { recursive: true });
    });
});
