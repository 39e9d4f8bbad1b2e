import { expect } from '@jest/globals';
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { DIM } from '../../../support/migrate/fixtures.js';
import { fetchOnce } from '../../../support/server/fetch-once.js';
import { Scenario } from '../../../support/migrate/migrating-scenario.js';
import { scenarioPlace } from '../../../support/migrate/scenario-fixture.js';
import { testsOn } from '../../../support/server/test-server.js';

const test = await testsOn('any');
const place = scenarioPlace();

test('a point that the target cannot hold stops neither other writes nor a start after the cut-over', async () => {
  const scenario = await Scenario.make(place(), 'aside', { faults: false });
  const { source, target } = scenario;
  const post = async (url: string, path: string, body: string): Promise<readonly [number, string]> => {
    const response = await fetchOnce(`${url}/collections/${path}`, {
      method: 'POST',
      body,
      headers: { 'content-type': 'application/json' },
    });
    return [response.status, await response.text()];
  };
  const touch = (id: number): Promise<readonly [number, string]> =>
    post(
      scenario.rest,
      `${source}/points/payload?wait=true`,
      `{"points":[${id}],"payload":{"touched":true}}`,
    );
  const side = async (): Promise<unknown> =>
    JSON.parse(await readFile(join(scenario.journal, 'proxy.json'), 'utf8'));
  await scenario.serve();
  await scenario.copy();
  await scenario.want({ state: 'copied', side: 'target' }, ({ side }) => side === 'target');

  const deep = `${'{"a":'.repeat(126)}1${'}'.repeat(126)}`;
  const past = await post(
    place().directUrl,
    `${source}/points/payload?wait=true`,
    `{"points":[1],"payload":${deep},"key":"k"}`,
  );
  expect(past[0]).toBe(200);
  expect(await touch(1)).toEqual([
    503,
    expect.stringMatching(/the write was made.*point 1 .*nested 127 deep/),
  ]);
  expect((await touch(4))[0]).toBe(200);
  expect(await side()).toMatchObject({ side: 'target' });

  // The source holds every write: it answers until the point is changed.
  await scenario.killAndServe();
  await scenario.reported(({ side, setAside }) => side === 'source' && setAside?.points === 1);
  expect((await touch(1))[0]).toBe(200);
  expect((await touch(7))[0]).toBe(200);
  const read = await post(scenario.rest, `${source}/points`, '{"ids":[1],"with_payload":["touched"]}');
  expect(read).toEqual([200, expect.stringContaining('"touched":true')]);
  const query = JSON.stringify({ query: Array.from({ length: DIM }, (_, i) => i + 1), limit: 3 });
  expect((await post(scenario.rest, `${source}/points/query`, query))[0]).toBe(200);

  const fixed = `{"points":[1],"keys":["k"]}`;
  expect((await post(scenario.rest, `${source}/points/payload/delete?wait=true`, fixed))[0]).toBe(200);
  await scenario.reported(({ side, open, setAside }) => side === 'target' && open === 0 && setAside === null);
  expect((await touch(1))[0]).toBe(200);
  expect(await scenario.differences()).toEqual([]);
  const stored = await post(place().directUrl, `${target}/points`, '{"ids":[1],"with_payload":true}');
  expect(stored).toEqual([200, expect.stringContaining('"touched":true')]);
  expect(await scenario.end()).toBe(0);
  await rm(scenario.folder, { recursive: true });
});
