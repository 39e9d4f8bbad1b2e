import { expect, test } from '@jest/globals';
import { once } from 'node:events';
import { connect, createServer, type AddressInfo } from 'node:net';
import { startTestProxy } from '../../../support/serve/proxy-fixture.js';

/** An upstream that answers every request with these bytes and keeps what it was sent. */
async function startRecorder(
  answer: string,
): Promise<{ url: string; received: () => string; stop: () => void }> {
  let received = '';
  const server = createServer((socket) => {
    socket.on('data', (chunk) => {
      received += chunk.toString('latin1');
      if (received.endsWith('\r\n\r\n')) socket.write(answer, 'latin1');
    });
    socket.on('error', () => undefined);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return { url: `http://127.0.0.1:${port}`, received: () => received, stop: () => void server.close() };
}

async function exchange(url: string, request: string, until: string): Promise<string> {
  const socket = connect(Number(new URL(url).port), '127.0.0.1');
  let answer = '';
  socket.write(request, 'latin1');
  for await (const chunk of socket) {
    answer += (chunk as Buffer).toString('latin1');
    if (answer.endsWith(until)) break;
  }
  socket.destroy();
  return answer;
}

test('headers, status text and trailers go both ways as they are, those of the connection aside', async () => {
  const answer = [
    'HTTP/1.1 299 Fine By Me\r\nX-Order: 1\r\nset-cookie: a=1\r\nA-First: \xe9\r\nset-cookie: b=2\r\n',
    'Trailer: X-Sum\r\nTransfer-Encoding: chunked\r\nConnection: X-Hop\r\nX-Hop: 1\r\n\r\n',
    '3\r\nabc\r\n0\r\nX-Sum: 7\r\n\r\n',
  ].join('');
  const upstream = await startRecorder(answer);
  const proxy = await startTestProxy({ url: `${upstream.url}/below`, grpcUrl: upstream.url });
  try {
    const request = [
      'GET /a/../b%2F?q=%zz HTTP/1.1\r\nX-B: 1\r\nHost: client.sees\r\nauthorization: Bearer x\r\nx-a: \xe9\r\n',
      'X-B: 2\r\nConnection: keep-alive, X-Private\r\nX-Private: 1\r\nTE: trailers\r\n\r\n',
    ].join('');
    const got = await exchange(proxy.url, request, 'X-Sum: 7\r\n\r\n');
    expect(got).toBe(
      [
        'HTTP/1.1 299 Fine By Me\r\nX-Order: 1\r\nset-cookie: a=1\r\nA-First: \xe9\r\nset-cookie: b=2\r\n',
        'Trailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 7\r\n\r\n',
      ].join(''),
    );
    const { host } = new URL(upstream.url);
    expect(upstream.received()).toBe(
      [
        `GET /below/a/../b%2F?q=%zz HTTP/1.1\r\nhost: ${host}\r\nconnection: keep-alive\r\n`,
        'X-B: 1\r\nauthorization: Bearer x\r\nx-a: \xe9\r\nX-B: 2\r\n\r\n',
      ].join(''),
    );
  } finally {
    await proxy.proxy.close();
    upstream.stop();
  }
});
