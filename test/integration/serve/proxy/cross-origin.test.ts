import { afterAll, describe, expect } from '@jest/globals';
import { HttpProber, type Probe } from '../../../support/serve/http-probe.js';
import { startTestProxy } from '../../../support/serve/proxy-fixture.js';
import { startTestServer, testsOn } from '../../../support/server/test-server.js';

const test = await testsOn('configured');

const json = ['content-type', 'application/json'];
const fromPage = [...json, 'origin', 'http://page.example'];
/** What the proxy refuses by itself, and the database. */
const refused: Probe = { method: 'POST', path: '/collections/served/points/query', body: Buffer.from('{') };
const alike: Probe = { method: 'POST', path: '/collections/other/points/query', body: Buffer.from('{') };

describe.each(['true', 'false'])('with enable_cors %s', (enabled) => {
  const closing: (() => unknown)[] = [];

  afterAll(async () => {
    for (const close of closing) await close();
  });

  test('pages may read what the proxy answers where they may read what the database answers', async () => {
    const server = await startTestServer({ QDRANT__SERVICE__ENABLE_CORS: enabled });
    const proxy = await startTestProxy(server);
    const [through, direct] = [new HttpProber(proxy.url), new HttpProber(server.url, { keepAlive: false })];
    closing.push(
      () => through.close(),
      () => direct.close(),
      () => proxy.proxy.close(),
      server.stop,
    );
    expect((await through.ask({ method: 'GET', path: '/collections' })).status).toBe(200);
    for (const headers of [json, fromPage]) {
      const expected = await direct.ask({ ...alike, headers });
      expect(expected.headers.includes('access-control-allow-origin: http://page.example')).toBe(
        enabled === 'true' && headers === fromPage,
      );
      const answered = await through.ask({ ...refused, headers });
      expect({ ...answered, body: '' }).toEqual({ ...expected, body: '' });
    }
    const asking = ['origin', 'http://page.example', 'access-control-request-method', 'POST'];
    const preflight = { ...alike, method: 'OPTIONS', headers: asking };
    const allowed = await through.ask({ ...preflight, path: refused.path });
    expect(allowed).toEqual(await direct.ask(preflight));
    expect(allowed.status === 200).toBe(enabled === 'true');
  });
});
