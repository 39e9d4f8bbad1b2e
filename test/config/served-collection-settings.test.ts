import { expect, test } from '@jest/globals';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadConfig } from '../../src/config/load.js';

const DOCS = { target: 'docs_c', encoder: 'enc.onnx' };

function load(content: unknown, environment = {}): ReturnType<typeof loadConfig> {
  const folder = mkdtempSync(join(tmpdir(), 'qdrant-tldr-served-'));
  try {
    const file = join(folder, 'serve.json');
    writeFileSync(file, JSON.stringify(content));
    return loadConfig({ file, environment });
  } finally {
    rmSync(folder, { recursive: true });
  }
}

test('collections stand beside the other settings; encoders are looked for beside the file', () => {
  const config = load({
    listenRest: '[::1]:80',
    shadow: '2.5%',
    collections: {
      'docs.v1': { ...DOCS, layout: 'two-stage', oversampling: 2.5, full: 'docs' },
      other: {
        target: 'other_c',
        encoder: '/abs/enc.onnx',
        scoreThreshold: 'refuse',
        vectorAnswers: 'compact',
      },
    },
  });
  expect(config).toMatchObject({ listenRest: { host: '::1', port: 80 }, shadow: 0.025 });
  const docs = config.collections['docs.v1'];
  expect(docs).toMatchObject({ target: 'docs_c', layout: 'two-stage', oversampling: 2.5, full: 'docs' });
  expect(docs?.encoder).toMatch(/qdrant-tldr-served-.*\/enc\.onnx$/);
  expect(config.collections['other']?.encoder).toBe('/abs/enc.onnx');
  expect(config.shown['collections']?.value).toBe('docs.v1 -> docs_c, other -> other_c');
});

test.each([
  ['an unknown key', { docs: { ...DOCS, oversample: 3 } }, 'collections.docs.oversample: unknown key'],
  ['a key of every object', { docs: { ...DOCS, toString: 'x' } }, 'collections.docs.toString: unknown key'],
  ['a missing key', { docs: { target: 'docs_c' } }, 'collections.docs.encoder: it is missing'],
  ['a wrong layout', { docs: { ...DOCS, layout: 'flat' } }, 'expected compact or two-stage, got "flat"'],
  ['an oversampling below 1', { docs: { ...DOCS, oversampling: 0.5 } }, 'expected a number from 1 to 1000'],
  ['a target served twice', { a: DOCS, b: DOCS }, 'collections.b: its target docs_c is also the target of a'],
  ['a list', [DOCS], 'expected an object of collections'],
  ['a text', { docs: 'docs_c' }, 'collections.docs: expected an object'],
])('%s is refused, saying where', (_what, collections, text) => {
  expect(() => load({ collections })).toThrow(text);
});

test.each([
  ['QDRANT_TLDR_LISTEN_REST', '6433', 'host and port'],
  ['QDRANT_TLDR_LISTEN_GRPC', 'host:70000', 'host and port'],
  ['QDRANT_TLDR_SHADOW', '5', 'percentage'],
  ['QDRANT_TLDR_SHADOW', '101%', 'percentage'],
  ['QDRANT_TLDR_WORKERS', '0', 'whole number'],
])('%s=%s is refused', (name, value, text) => {
  expect(() => load({}, { [name]: value })).toThrow(text);
});

test('a collection that is migrated has a source and a journal, looked for beside the file', () => {
  const of = (migrating: unknown): ReturnType<typeof load> =>
    load({ collections: { docs: { ...DOCS, migrating } } });
  const { migrating } = of({ source: 'docs', journal: 'j' }).collections['docs'] ?? {};
  expect(migrating?.source).toBe('docs');
  expect(migrating?.journal).toMatch(/qdrant-tldr-served-.*\/j$/);
  for (const wrong of [
    true,
    {},
    { source: 'docs' },
    { source: 'docs', journal: 1 },
    { source: 'd', journal: 'j', x: 1 },
  ])
    expect(() => of(wrong)).toThrow('collections.docs.migrating: expected an object');
  expect(() => of({ source: 'docs_c', journal: 'j' })).toThrow('its source is its target');
});
