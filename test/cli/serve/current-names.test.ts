import { expect, test } from '@jest/globals';
import { openMemory } from '../../../adapters/memory/store.js';
import { CurrentNames } from '../../../src/cli/serve/current-names.js';
import { TldrError } from '../../../src/core/errors.js';
import type { MemoryStore } from '../../../adapters/memory/index.js';
import type { Addressed } from '../../../src/serve/protocol.js';
import { watched } from '../../support/store/watch-calls.js';
import { memorySpec } from '../../support/migrate/fixtures.js';

const read = (name: string): Addressed => ({ name, changes: false });
const change = (name: string): Addressed => ({ name, changes: true });

/** A store that counts, and fails where it is told to. */
async function counted(): Promise<{
  store: MemoryStore;
  reads: string[];
  fail: (message: string | null) => void;
}> {
  const memory = openMemory();
  await memory.create(memorySpec('own'));
  await memory.create(memorySpec('docs'));
  const reads: string[] = [];
  let failure: string | null = null;
  const store = watched(memory, ({ name, go }) => {
    reads.push(name);
    return failure === null ? go() : Promise.reject(new TldrError('UNAVAILABLE', failure));
  });
  return { store, reads, fail: (message) => (failure = message) };
}

test('configured names and those seen a moment ago cost no request; others one look-up together', async () => {
  const { store, reads } = await counted();
  const names = new CurrentNames(store, (name) => name === 'docs');
  await names.aliases.read();
  await Promise.all([names.learn(read('own')), names.learn(read('own')), names.learn(read('nothing'))]);
  reads.length = 0;
  for (let i = 0; i < 50; i++) for (const name of ['docs', 'own']) await names.learn(read(name));
  expect(reads.length).toBeLessThan(20);
  for (let i = 0; i < 50; i++) await names.learn(change('docs'));
  expect(reads.length).toBeLessThan(20);
  reads.length = 0;
  await Promise.all(Array.from({ length: 50 }, async () => await names.learn(read('nothing'))));
  expect(reads.filter((read) => read === 'names.all').length).toBeLessThan(4);
  await names.close();
});

test('a look-up that fails lets no unknown name pass', async () => {
  const { store, fail } = await counted();
  const names = new CurrentNames(store, (name) => name === 'docs');
  await names.aliases.read();
  await names.learn(read('own'));
  fail('no answer');
  await expect(names.learn(read('new'))).rejects.toMatchObject({
    code: 'UNAVAILABLE',
    message: expect.stringMatching(/what "new" means cannot be read: no answer/),
  });
  await names.learn(read('own'));
  await names.learn(read('docs'));
  fail(null);
  await names.close();
});

test('by a known name one can read, but change nothing, while the aliases cannot be read', async () => {
  const { store, fail } = await counted();
  const names = new CurrentNames(store, (name) => name === 'docs');
  expect(await names.isCollection('own')).toBe(true);
  fail('no answer');
  await names.learn(read('own'));
  await names.learn(change('docs'));
  await expect(names.learn(change('own'))).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  fail(null);
  await names.learn(change('own'));
  await names.close();
});

test('a connection through which the aliases cannot be read takes no place', async () => {
  const [before, after] = [await counted(), await counted()];
  const names = new CurrentNames(before.store, (name) => name === 'docs');
  await names.aliases.read();
  let isClosed = false;
  const close = (): Promise<void> => Promise.resolve(void (isClosed = true));
  const other = {
    names: after.store.names,
    listCollections: () => after.store.listCollections(),
    close,
  };
  after.fail('no answer');
  await expect(names.use(other)).rejects.toMatchObject({ code: 'UNAVAILABLE', message: 'no answer' });
  expect(isClosed).toBe(true);
  before.reads.length = after.reads.length = 0;
  await names.learn(change('own'));
  expect(after.reads).toEqual([]);
  expect(before.reads).not.toContain('close');
  after.fail(null);
  await names.use(after.store);
  expect(before.reads).toContain('close');
  before.reads.length = after.reads.length = 0;
  await names.learn(change('new'));
  expect(after.reads.sort()).toEqual(['listCollections', 'names.all']);
  expect(before.reads).toEqual([]);
  await names.close();
});
