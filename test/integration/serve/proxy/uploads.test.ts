import { expect } from '@jest/globals';
import { HttpProber } from '../../../support/serve/http-probe.js';
import { startTestProxy } from '../../../support/serve/proxy-fixture.js';
import { startTestServer, testsOn } from '../../../support/server/test-server.js';

const test = await testsOn('configured');

test('a large upload without a key gets the 401 of a server that does not read it, and its connection goes on', async () => {
  const server = await startTestServer({ QDRANT__SERVICE__API_KEY: 'correct-horse-battery' });
  const proxy = await startTestProxy(server);
  const client = new HttpProber(proxy.url);
  try {
    const body = Buffer.alloc(8 * 1024 ** 2, ' ');
    const upload = { method: 'PUT', path: '/collections/any/points', body };
    for (const chunked of [false, true, false, true])
      expect(await client.ask({ ...upload, chunked })).toMatchObject({
        status: 401,
        body: expect.stringContaining('API key'),
      });
    expect(await client.ask({ method: 'GET', path: '/healthz' })).toMatchObject({ status: 200 });
    const text = await proxy.proxy.metrics.registry.getSingleMetricAsString('tldr_upstream_errors_total');
    expect(text).toContain('tldr_upstream_errors_total{transport="rest"} 0');
  } finally {
    client.close();
    await proxy.proxy.close();
    await server.stop();
  }
});
