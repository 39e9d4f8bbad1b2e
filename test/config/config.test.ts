import { QDRANT } from '../../adapters/qdrant/adapter.js';
import { afterAll, describe, expect, test } from '@jest/globals';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadConfig } from '../../src/config/load.js';

const folder = mkdtempSync(join(tmpdir(), 'qdrant-tldr-config-'));
afterAll(() => rmSync(folder, { recursive: true }));

function file(content: unknown): string {
  const path = join(folder, `${Math.floor(performance.now() * 1000)}.json`);
  writeFileSync(path, typeof content === 'string' ? content : JSON.stringify(content));
  return path;
}

test('an empty variable counts as not set', () => {
  const path = file({ url: 'http://file:1', concurrency: 5 });
  const environment = { QDRANT_URL: '', QDRANT_TLDR_CONCURRENCY: '' };
  expect(loadConfig({ file: path, environment })).toMatchObject({ url: 'http://file:1', concurrency: 5 });
  expect(() => loadConfig({ environment: { QDRANT_TLDR_URL: '' } })).toThrow('unknown environment variable');
});

test('flags come before the environment, that before the file, that before defaults', () => {
  const path = file({ url: 'http://file:1', concurrency: 5, batchSize: 7 });
  const config = loadConfig({
    file: path,
    environment: { QDRANT_URL: 'http://env:1', QDRANT_TLDR_CONCURRENCY: '6' },
    flags: { url: 'http://flag:1', threads: undefined },
    extra: QDRANT.settings,
  });
  expect(config).toMatchObject({
    url: 'http://flag:1',
    concurrency: 6,
    batchSize: 7,
    threads: 2,
    ofDatabase: { grpcUrl: undefined },
  });
  expect(
    Object.fromEntries(Object.entries(config.shown).map(([name, { from }]) => [name, from])),
  ).toMatchObject({
    url: 'flag',
    concurrency: 'QDRANT_TLDR_CONCURRENCY',
    batchSize: path,
    threads: 'default',
  });
});

test('earlier names keep working, and the present ones come first', () => {
  const path = file({ lanes: 5 });
  const inFile = loadConfig({ file: path, environment: {} });
  expect(inFile).toMatchObject({ concurrency: 5, shown: { concurrency: { from: path } } });
  const environment = { QDRANT_TLDR_LANES: '6' };
  expect(loadConfig({ file: path, environment })).toMatchObject({
    concurrency: 6,
    shown: { concurrency: { from: 'QDRANT_TLDR_LANES' } },
  });
  const both = { ...environment, QDRANT_TLDR_CONCURRENCY: '7' };
  expect(loadConfig({ environment: both })).toMatchObject({
    concurrency: 7,
    shown: { concurrency: { from: 'QDRANT_TLDR_CONCURRENCY' } },
  });
  expect(loadConfig({ file: file({ concurrency: 8, lanes: 5 }), environment: {} }).concurrency).toBe(8);
  expect(() => loadConfig({ environment: { QDRANT_TLDR_LANES: 'many' } })).toThrow('QDRANT_TLDR_LANES');
});

test('secrets are masked where values are shown, and read from a file when asked', () => {
  const direct = loadConfig({ environment: { QDRANT_API_KEY: 's3cret' } });
  expect(direct.apiKey).toBe('s3cret');
  expect(JSON.stringify(direct.shown)).not.toContain('s3cret');
  const fromFile = loadConfig({ environment: { QDRANT_TLDR_API_KEY_FILE: file('k3y\n') } });
  expect(fromFile.apiKey).toBe('k3y');
  expect(loadConfig({ environment: {} }).apiKey).toBeUndefined();
});

test('files that the configuration file names lie beside it, others where the command runs', () => {
  writeFileSync(join(folder, 'own.key'), 'beside');
  const path = file({ apiKeyFile: 'own.key', tlsCert: 'tls/cert.pem', tlsKey: '/etc/key.pem' });
  expect(loadConfig({ file: path, environment: {} })).toMatchObject({
    apiKey: 'beside',
    tlsCert: join(folder, 'tls/cert.pem'),
    tlsKey: '/etc/key.pem',
  });
  const environment = { QDRANT_TLDR_TLS_CERT: 'cert.pem' };
  expect(loadConfig({ file: path, environment }).tlsCert).toBe('cert.pem');
});

test('a key file that the environment names comes before a key in the configuration file', () => {
  const environment = { QDRANT_TLDR_API_KEY_FILE: file('k3y') };
  expect(loadConfig({ file: file({ apiKey: 'low' }), environment }).apiKey).toBe('k3y');
  const both = { ...environment, QDRANT_API_KEY: 's3cret' };
  expect(loadConfig({ file: file({ apiKey: 'low' }), environment: both }).apiKey).toBe('s3cret');
});

describe.each([
  ['concurrency', 'QDRANT_TLDR_CONCURRENCY'],
  ['threads', 'QDRANT_TLDR_THREADS'],
  ['batchSize', 'QDRANT_TLDR_BATCH_SIZE'],
  ['timeoutMs', 'QDRANT_TLDR_TIMEOUT_MS'],
  ['connectTimeoutMs', 'QDRANT_TLDR_CONNECT_TIMEOUT_MS'],
])('%s', (key, variable) => {
  test.each(['0', '2.7', '3x', '-1', ' ', '1e3', '0x10', '99999999999'])(
    '"%s" is refused by name',
    (value) => {
      expect(() => loadConfig({ environment: { [variable]: value } })).toThrow(
        new RegExp(`${key}: expected a whole number from 1.*\\(from ${variable}\\)`),
      );
    },
  );

  test('a file or flag is held to the same', () => {
    const path = file({ [key]: 2.7 });
    expect(() => loadConfig({ file: path, environment: {} })).toThrow(`(from ${path})`);
    expect(() => loadConfig({ environment: {}, flags: { [key]: 0 } })).toThrow('(from flag)');
    expect(loadConfig({ environment: { [variable]: '12' } })).toMatchObject({ [key]: 12 });
  });
});

test('user and password of an address are never shown', () => {
  const url = 'http://someone:pa%2Fss@host:6333/base';
  const config = loadConfig({
    environment: { QDRANT_URL: url },
    flags: { grpcUrl: 'user:secret@host:6334' },
    extra: QDRANT.settings,
  });
  expect(config.url).toBe(url);
  expect(config.shown).toMatchObject({
    url: { value: 'http://********@host:6333/base' },
    grpcUrl: { value: '********@host:6334' },
  });
});

test.each(['k3y\n', 'k\u0007ey', 'k\u00e9y', 'two words'])(
  'a key no header can carry is refused unsaid',
  (key) => {
    const path = file(`x${key}x`);
    for (const environment of [{ QDRANT_API_KEY: key }, { QDRANT_TLDR_API_KEY_FILE: path }]) {
      let thrown: unknown;
      try {
        loadConfig({ environment });
      } catch (error) {
        thrown = error;
      }
      expect(thrown).toMatchObject({ code: 'INVALID_ARGUMENT' });
      expect(String(thrown)).not.toContain(key);
    }
  },
);

describe('refuses', () => {
  test.each<[string, Parameters<typeof loadConfig>[0]]>([
    ['an unknown key in the file', { file: file({ urll: 'x' }), environment: {} }],
    ['an unknown variable', { environment: { QDRANT_TLDR_URL: 'x' } }],
    ['a malformed number in the environment', { environment: { QDRANT_TLDR_CONCURRENCY: 'many' } }],
    ['a malformed number in the file', { file: file({ threads: -1 }), environment: {} }],
    ['an unknown log level', { environment: {}, flags: { logLevel: 'loud' } }],
    ['a file that is no JSON', { file: file('{'), environment: {} }],
    ['a file that is no object', { file: file([1]), environment: {} }],
    ['a file that is not there', { file: join(folder, 'none.json'), environment: {} }],
    ['a key file that is not there', { environment: { QDRANT_TLDR_API_KEY_FILE: join(folder, 'none') } }],
  ])('%s', (_name, input) => {
    let thrown: unknown;
    try {
      loadConfig(input);
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toMatchObject({ name: 'TldrError', code: 'INVALID_ARGUMENT' });
  });
});

test('a worker is told by its number, or by the index of a job, which counts from 0', () => {
  const of = (environment: Record<string, string>): unknown => loadConfig({ environment }).worker;
  expect(of({})).toBeNull();
  expect(of({ QDRANT_TLDR_WORKER: '2/4', JOB_COMPLETION_INDEX: '0' })).toEqual({ index: 2, of: 4 });
  expect(of({ QDRANT_TLDR_WORKER: 'job/4', JOB_COMPLETION_INDEX: '3' })).toEqual({ index: 4, of: 4 });
  for (const wrong of ['0/4', '5/4', '1/2000', 'one/4', 'job/'])
    expect(() => of({ QDRANT_TLDR_WORKER: wrong })).toThrow('worker');
  expect(() => of({ QDRANT_TLDR_WORKER: 'job/4' })).toThrow('JOB_COMPLETION_INDEX is not set');
  expect(() => of({ QDRANT_TLDR_WORKER: 'job/4', JOB_COMPLETION_INDEX: '4' })).toThrow('INDEX is 4');
});
