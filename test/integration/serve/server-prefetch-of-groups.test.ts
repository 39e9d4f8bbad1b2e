import { expect } from '@jest/globals';
import { fetchOnce } from '../../support/server/fetch-once.js';
import { startTestServer, testsOn } from '../../support/server/test-server.js';

const test = await testsOn('any');

/** Why candidates of groups are not counted group_size times here. */
test('the server fetches as many times more than a prefetch says as a group has results', async () => {
  const server = await startTestServer();
  const ask = async (method: string, path: string, body: object): Promise<unknown> => {
    const response = await fetchOnce(`${server.url}/collections/grouped${path}`, {
      method,
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
    return ((await response.json()) as { result: unknown }).result;
  };
  try {
    const one = { size: 1, distance: 'Dot' };
    await ask('PUT', '', { vectors: { full: one, compact: one } });
    // The smaller the id, the nearer in one space and the farther in the other.
    const points = Array.from({ length: 100 }, (_, id) => ({
      id,
      vector: { full: [id], compact: [100 - id] },
      payload: { shelf: 'a' },
    }));
    await ask('PUT', '/points?wait=true', { points });
    const candidates = async (group_size: number): Promise<number> => {
      const result = await ask('POST', '/points/query/groups', {
        prefetch: { query: [1], using: 'compact', limit: 5 },
        query: [1],
        using: 'full',
        group_by: 'shelf',
        group_size,
        limit: 1,
      });
      const { groups } = result as { groups: { hits: { id: number }[] }[] };
      return Math.max(...(groups[0]?.hits ?? []).map(({ id }) => id)) + 1;
    };
    expect(await candidates(1)).toBe(5);
    expect(await candidates(4)).toBe(20);
  } finally {
    await server.stop();
  }
});
