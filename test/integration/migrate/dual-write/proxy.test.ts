import { describe, expect } from '@jest/globals';
import { spawn } from 'node:child_process';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { readReport } from '../../../../src/migrate/dual-write/proxy-state-files.js';
import { Rng } from '../../../../src/core/rng.js';
import { DIM } from '../../../support/migrate/fixtures.js';
import { fetchOnce } from '../../../support/server/fetch-once.js';
import { Ledger, type LedgerWrite } from '../../../support/migrate/ledger.js';
import { Scenario } from '../../../support/migrate/migrating-scenario.js';
import { scenarioPlace } from '../../../support/migrate/scenario-fixture.js';
import { testsOn } from '../../../support/server/test-server.js';

const test = await testsOn('any');
const MAIN = fileURLToPath(new URL('../../../../src/cli/main.js', import.meta.url));

const place = scenarioPlace();

const anything = (): boolean => true;

describe('a collection that is written to through the proxy while it is migrated', () => {
  test('cut-over and the way back: no request fails, every write is read, both sides end equal', async () => {
    const scenario = await Scenario.make(place(), 'busy', { faults: false });
    await scenario.serve();
    scenario.begin(1);
    await scenario.moreWrites();
    await scenario.want({ state: 'copying', side: 'source' }, anything);
    await scenario.copy();
    await scenario.want({ state: 'copied', side: 'source' }, ({ caughtUp }) => caughtUp);
    for (let round = 0; round < 2; round++) {
      await scenario.want({ state: 'copied', side: 'target' }, anything);
      await scenario.moreWrites();
      await scenario.want({ state: 'copied', side: 'source' }, anything);
      await scenario.moreWrites();
    }
    await scenario.want({ state: 'copied', side: 'target' }, anything);
    await scenario.moreWrites();
    await scenario.stop();
    await scenario.reported(({ open }) => open === 0);
    expect(scenario.failures).toEqual([]);
    expect(scenario.writes).toBeGreaterThan(100);
    expect(await scenario.differences()).toEqual([]);
    expect(await scenario.end()).toBe(0);
    expect(await readReport(scenario.journal)).toBeNull();
    await rm(scenario.folder, { recursive: true });
  });

  test('a start that waits for a point which cannot be copied keeps running and tries again', async () => {
    const scenario = await Scenario.make(place(), 'waits', { faults: true });
    await scenario.serve();
    await scenario.copy();
    await scenario.want({ state: 'copied', side: 'target' }, ({ side }) => side === 'target');
    const write = (url: string, method: string, below: string, body: string): Promise<Response> =>
      fetchOnce(`${url}/collections/waits/points${below}?wait=true`, {
        method,
        headers: { 'content-type': 'application/json' },
        body,
      });
    const vector = [1e39, ...Array.from({ length: DIM - 1 }, () => 1)].join().replace('1e+39', '1e39');
    const direct = await write(place().directUrl, 'PUT', '', `{"points":[{"id":4,"vector":[${vector}]}]}`);
    expect(direct.status).toBe(200);
    const mirrored = await write(scenario.rest, 'POST', '/payload', '{"points":[4],"payload":{"f":2}}');
    expect(mirrored.status).toBe(503);
    await scenario.kill();
    const child = spawn(process.execPath, [MAIN, 'serve', '--config', 'serve.json'], {
      cwd: scenario.folder,
      env: { PATH: process.env['PATH'] ?? '' },
    });
    const ended = new Promise((resolve) => child.once('close', resolve));
    let log = '';
    const triedTwice = new Promise<string>((resolve) =>
      child.stderr.on('data', (chunk: Buffer) => {
        log += chunk.toString();
        if (log.split('cannot be brought to the target').length > 2) resolve('tried twice');
      }),
    );
    expect(await Promise.race([triedTwice, ended])).toBe('tried twice');
    child.kill('SIGKILL');
    await ended;
    await rm(scenario.folder, { recursive: true });
  });

  test('the comparison finds a missing point, one too many, a payload and a vector', async () => {
    const scenario = await Scenario.make(place(), 'compared', { faults: false });
    await scenario.copy();
    expect(await scenario.differences()).toEqual([]);
    const change = async (method: string, below: string, body: object): Promise<void> => {
      const response = await fetchOnce(
        `${place().url}/collections/${scenario.target}/points${below}?wait=true`,
        {
          method,
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify(body),
        },
      );
      expect(response.status).toBe(200);
      await response.arrayBuffer();
    };
    await change('POST', '/delete', { points: [1] });
    await change('PUT', '', { points: [{ id: 77_000, vector: {} }] });
    await change('POST', '/payload', { payload: { f: 2 }, points: [4] });
    await change('PUT', '/vectors', { points: [{ id: 7, vector: { compact: [1, 0, 0, 0] } }] });
    await change('POST', '/vectors/delete', { points: [10], vector: [''] });
    const found = await scenario.differences();
    expect(found.map((line) => line.split(/[: ]/)[0]).sort()).toEqual(['1', '10', '4', '7', '77000']);
    await rm(scenario.folder, { recursive: true });
  });

  test('the account finds a write that is gone, and takes one that nobody knows of either way', async () => {
    await place().store.create({
      name: 'account',
      vectors: [],
      otherVectors: [],
      partitions: [],
      metadata: {},
      native: JSON.stringify({ params: { vectors: { size: DIM, distance: 'Cosine' } } }),
    });
    const [ledger, rng] = [new Ledger(), new Rng(1)];
    const make = async ({ method, path, body }: LedgerWrite): Promise<void> => {
      const response = await fetchOnce(`${place().url}/collections/account${path}?wait=true`, {
        method,
        headers: { 'content-type': 'application/json' },
        body,
      });
      expect(response.status).toBe(200);
    };
    const differences = (): Promise<string[]> => ledger.differences(place().url, 'account');
    for (let i = 0; i < 200; i++) {
      const write = ledger.next(rng);
      // Every third was never answered, and of those every second never made.
      if (i % 6 !== 0) await make(write);
      if (i % 3 !== 0) write.acknowledged();
    }
    expect(await differences()).toEqual([]);
    let lost = ledger.next(rng);
    while (lost.method === 'POST') lost = ledger.next(rng);
    lost.acknowledged();
    expect(await differences()).toEqual([expect.stringContaining('acknowledged was')]);
  });

  test('several processes are refused, and so is a name that does not lead to the source', async () => {
    const scenario = await Scenario.make(place(), 'refused', { faults: false });
    const failed = async (args: readonly string[]): Promise<string> => {
      const child = spawn(process.execPath, [MAIN, 'serve', '--config', 'serve.json', ...args], {
        cwd: scenario.folder,
        env: { PATH: process.env['PATH'] ?? '' },
      });
      let log = '';
      child.stderr.on('data', (chunk: Buffer) => (log += chunk.toString()));
      expect(await new Promise((resolve) => child.once('close', resolve))).not.toBe(0);
      return log;
    };
    expect(await failed(['--workers', '2'])).toContain('which needs a single process');
    const config = {
      url: place().url,
      grpcUrl: place().grpcUrl,
      collections: {
        other: { target: 'x', encoder: 'encoder.onnx', migrating: { source: 'refused', journal: 'j' } },
      },
    };
    await writeFile(join(scenario.folder, 'serve.json'), JSON.stringify(config));
    expect(await failed([])).toContain('"other" is neither refused nor an alias of it');
    await rm(scenario.folder, { recursive: true });
  });
});
