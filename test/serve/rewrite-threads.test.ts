import { expect, test } from '@jest/globals';
import { restRewriter } from '../../adapters/qdrant/serve/rewriters/rest.js';
import { RewriteThreads } from '../../src/serve/rewrite-threads.js';

const WORKER = new URL('../../src/cli/serve/rewrite-worker.js', import.meta.url);

const task = () =>
  ({
    kind: 'rest',
    head: restRewriter([]).read({ method: 'POST', url: '/collections/aliases', headers: {} }),
    body: new Uint8Array(0),
  }) as const;

test('a pool that was closed rewrites nothing more, and says so', async () => {
  const pool = new RewriteThreads({ file: WORKER, data: { served: [], mirrored: [] }, size: 2 });
  expect((await pool.run(task())).body).toHaveLength(0);
  const underWay = pool.run(task()).then(
    () => null,
    (error: unknown) => error,
  );
  const closed = pool.close();
  const ended = { code: 'UNAVAILABLE', message: expect.stringContaining('has ended its rewriting threads') };
  await expect(pool.run(task())).rejects.toMatchObject(ended);
  await closed;
  await expect(pool.run(task())).rejects.toMatchObject(ended);
  // It was answered before its thread ended, or failed with it.
  expect([null, 'INTERNAL']).toContain(((await underWay) as { code: string } | null)?.code ?? null);
});
