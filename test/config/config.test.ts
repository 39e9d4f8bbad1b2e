import { afterAll, describe, expect, test } from '@jest/globals';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadConfig } from '../../src/config/config.js';

const folder = mkdtempSync(join(tmpdir(), 'qdrant-tldr-config-'));
afterAll(() => rmSync(folder, { recursive: true }));

function file(content: unknown): string {
  const path = join(folder, `${Math.floor(performance.now() * 1000)}.json`);
  writeFileSync(path, typeof content === 'string' ? content : JSON.stringify(content));
  return path;
}

test('flags come before the environment, that before the file, that before defaults', () => {
  const path = file({ url: 'http://file:1', lanes: 5, batchSize: 7 });
  const config = loadConfig({
    file: path,
    environment: { QDRANT_URL: 'http://env:1', QDRANT_TLDR_LANES: '6' },
    flags: { url: 'http://flag:1', threads: undefined },
  });
  expect(config).toMatchObject({
    url: 'http://flag:1',
    lanes: 6,
    batchSize: 7,
    threads: 2,
    grpcUrl: undefined,
  });
  expect(
    Object.fromEntries(Object.entries(config.shown).map(([name, { from }]) => [name, from])),
  ).toMatchObject({
    url: 'flag',
    lanes: 'QDRANT_TLDR_LANES',
    batchSize: path,
    threads: 'default',
  });
});

test('secrets are masked where values are shown, and read from a file when asked', () => {
  const direct = loadConfig({ environment: { QDRANT_API_KEY: 's3cret' } });
  expect(direct.apiKey).toBe('s3cret');
  expect(JSON.stringify(direct.shown)).not.toContain('s3cret');
  const fromFile = loadConfig({ environment: { QDRANT_TLDR_API_KEY_FILE: file('k3y\n') } });
  expect(fromFile.apiKey).toBe('k3y');
  expect(loadConfig({ environment: {} }).apiKey).toBeUndefined();
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
    ['a malformed number in the environment', { environment: { QDRANT_TLDR_LANES: 'many' } }],
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
