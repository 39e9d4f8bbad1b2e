import { describe, expect, test } from '@jest/globals';
import { flatten, parseJson } from '../../../../adapters/qdrant/transport/json.js';
import { checkCollectionName, checkName } from '../../../../adapters/qdrant/transport/check-name.js';
import { clientText, lookupText } from '../../../../adapters/qdrant/serve/rules.js';
import { fixtureCollections } from '../../../support/wire/collections-fixture.js';

describe('names that users choose', () => {
  test.each(['.', '..', '', 'a\ud800b', '\udc00'])('%j names no collection', (name) => {
    expect(() => checkCollectionName(name)).toThrow(
      expect.objectContaining({
        code: 'INVALID_ARGUMENT',
        message: expect.stringContaining(JSON.stringify(name)),
      }),
    );
  });

  test.each(['a.b', '😀', '__proto__', '%2F', '...'])('%j does', (name) => {
    expect(() => checkCollectionName(name)).not.toThrow();
    expect(() => checkName('the alias', name)).not.toThrow();
  });

  test('two paths of settings never read the same', () => {
    const vectors = '{"a":{"hnsw_config":{"on_disk":true}},"a.hnsw_config":{"on_disk":false},"\\"":{"x":1}}';
    expect([...flatten(parseJson(vectors))]).toEqual([
      ['a.hnsw_config.on_disk', 'true'],
      ['"a.hnsw_config".on_disk', 'false'],
      ['"\\"".x', '1'],
    ]);
  });
});

describe('an error in the words of the client', () => {
  const [two] = fixtureCollections('two-stage');
  const served = { ...two!, names: ["a$&$'b"], target: 'limit', vector: 'v"$&', compact: 'k"\\' };

  test.each([
    ["Not found: Collection `limit` doesn't exist!", "Not found: Collection `a$&$'b` doesn't exist!"],
    [
      'Not found: Vector with name "k\\"\\\\" for point not found',
      'Not found: Vector with name "v\\"$&" for point not found',
    ],
    [
      'Format error in JSON body: missing field `limit` at line 1',
      'Format error in JSON body: missing field `limit` at line 1',
    ],
  ])('%s', (text, shown) => {
    expect(clientText(text, served)).toBe(shown);
  });

  test('of a failed lookup holds a name with quotes', () => {
    expect(lookupText("Not found: Collection `a`$&b` doesn't exist!", [])).toBe(
      'Not found: Collection a`$&b not found',
    );
  });
});
