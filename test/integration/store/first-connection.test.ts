import { afterAll, beforeAll, expect, test as plainTest } from '@jest/globals';
import { createServer as createHttpServer, request as httpRequest, type RequestListener } from 'node:http';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openQdrant } from '../../../adapters/qdrant/index.js';
import { openCliPlace, type CliPlace } from '../../support/cli/cli-on-test-server.js';
import { describeWithCertificates, makeCertificates, tlsSettings } from '../../support/serve/certificates.js';
import { startTestServer, testsOn, type TestServer } from '../../support/server/test-server.js';

const test = await testsOn('any');
const PAGE = '<!DOCTYPE html>\n<html><head><title>Welcome to nginx!</title></head><body></body></html>';

let place: CliPlace;
const closing: (() => Promise<unknown>)[] = [];

beforeAll(async () => {
  place = await openCliPlace('first-connection');
  for (const name of ['docs', 'docs_c96', 'articles'])
    await place.rest('PUT', `/collections/${name}`, { vectors: { size: 16, distance: 'Cosine' } });
  await place.rest('POST', '/collections/aliases', {
    actions: [{ create_alias: { collection_name: 'docs', alias_name: 'search' } }],
  });
});

afterAll(async () => {
  for (const close of closing) await close();
  await place.end();
});

async function listening(server: Server): Promise<string> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return `127.0.0.1:${port}`;
}

/** An HTTP server that lives until the end of the tests. Returns its host and port. */
async function serving(listener: RequestListener): Promise<string> {
  const server = createHttpServer(listener);
  closing.push(() => new Promise((done) => (server.closeAllConnections(), server.close(done))));
  return listening(server);
}

/** A TCP server that lives until the end of the tests. Returns its host and port. */
async function talking(onConnection: (socket: Socket) => void): Promise<string> {
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    sockets.push(socket);
    onConnection(socket);
  });
  closing.push(() => {
    for (const socket of sockets) socket.destroy();
    return new Promise((done) => server.close(done));
  });
  return listening(server);
}

/** A host and port at which nothing listens. */
async function nobody(): Promise<string> {
  const server = createServer();
  const address = await listening(server);
  await new Promise((done) => server.close(done));
  return address;
}

async function failure(url: string, more: Partial<Parameters<typeof openQdrant>[0]> = {}): Promise<string> {
  const log = (_level: string, message: string): void => {
    throw new Error(`a warning: ${message}`);
  };
  const error: unknown = await openQdrant({ url, log, ...more }).then(
    (store) => store.close(),
    (thrown: unknown) => thrown,
  );
  expect(error).toMatchObject({ code: 'UNAVAILABLE' });
  return error instanceof Error ? error.message : '';
}

const hostOf = (url: string): string => new URL(url).host;

test('each wrong address is named with its likely cause, without a warning before', async () => {
  const { url, grpcUrl } = place.server;
  const html = await serving((_request, response) => {
    response.setHeader('content-type', 'text/html').end(PAGE);
  });
  const gateway = await serving((_request, response) => {
    response.writeHead(502, { 'content-type': 'text/html' }).end(PAGE.replace('Welcome', 'Goodbye'));
  });
  const mail = await talking((socket) => socket.end('220 mail.example ESMTP\r\n'));
  const gone = await nobody();
  expect(await failure(`http://${gone}`)).toContain(`the connection to ${gone} was refused`);
  expect(await failure('http://no-such-host.invalid:6333')).toMatch(
    /the host name no-such-host.invalid (is unknown|could not)/,
  );
  expect(await failure(`http://${hostOf(grpcUrl)}`)).toContain(
    'that is a gRPC address: give the REST address',
  );
  expect(await failure(`https://${hostOf(url)}`)).toContain(
    `the server there speaks http, without TLS: give http://${hostOf(url)}`,
  );
  expect(await failure(`http://${html}`)).toContain('a web page with the title "Welcome to nginx!"');
  expect(await failure(`http://${gateway}`)).toContain(
    'HTTP 502: a web page with the title "Goodbye to nginx!"',
  );
  expect(await failure(`http://${mail}`)).toContain('does not speak HTTP');
  expect(await failure(`${url}/dashboard`)).toContain(
    `a Qdrant server answers at ${url}: leave the path out`,
  );
  expect(await failure(`${url}/collections`)).toContain(
    `a Qdrant server answers at ${url}: leave the path out`,
  );
});

test('each wrong gRPC address is named with its likely cause, without a warning before', async () => {
  const { url, grpcUrl } = place.server;
  const html = await serving((_request, response) => {
    response.setHeader('content-type', 'text/html').end(PAGE);
  });
  const gone = await nobody();
  const of = (grpc: string): Promise<string> => failure(url, { grpcUrl: grpc });
  expect(await of(`http://${gone}`)).toContain(`the connection to ${gone} was refused`);
  expect(await of(url)).toContain('that is the REST address of a Qdrant server');
  expect(await of(`https://${hostOf(grpcUrl)}`)).toContain(`give http://${hostOf(grpcUrl)}`);
  expect(await of(`http://${html}`)).toContain('a server answers there in HTTP, but not in gRPC');
});

test('a server that takes connections and never answers is asked once', async () => {
  let asked = 0;
  const address = await talking((socket) => socket.once('data', () => asked++));
  const url = `http://${address}`;
  expect(await failure(url, { connectTimeoutMs: 300 })).toContain(`${address} did not answer within 0.3 s`);
  expect(asked).toBe(1);
  const grpc = { grpcUrl: url, connectTimeoutMs: 300 };
  expect(await failure(place.server.url, grpc)).toContain(`${address} did not answer within 0.3 s`);
  expect(asked).toBe(2);
});

test('a path that leads to a Qdrant server is fine, and a gateway that is busy for a moment is asked again', async () => {
  let busy = 2;
  const front = await serving((asked, response) => {
    if (busy-- > 0) {
      response.writeHead(503).end();
      return;
    }
    const to = place.server.url + (asked.url ?? '').replace(/^\/db/, '');
    asked.pipe(
      httpRequest(to, { method: asked.method ?? 'GET', headers: asked.headers }, (answer) => {
        response.writeHead(answer.statusCode ?? 500, answer.headers);
        answer.pipe(response);
      }),
    );
  });
  const store = await openQdrant({ url: `http://${front}/db`, grpcUrl: place.server.grpcUrl });
  expect(await store.count('docs')).toBe(0);
  await store.close();
});

test('every command names a server that is not there at once', async () => {
  const gone = await nobody();
  for (const command of [
    'inspect docs',
    'train docs --dim 4 --out new.onnx',
    'plan docs',
    'evaluate docs docs_c96 --encoder enc.onnx',
    'migrate start docs docs_new --encoder enc.onnx',
    'migrate status docs docs_c96',
    'migrate cutover docs docs_c96 --alias search',
    'serve --collection docs --target docs_c96 --encoder enc.onnx',
    'demo --yes',
  ]) {
    const { code, stderr } = await place.cli(
      ...command.split(' '),
      '--url',
      `http://${gone}`,
      '--log-level',
      'warn',
    );
    expect(`${command}: ${stderr}`).toContain(`the connection to ${gone} was refused`);
    expect(stderr).not.toContain('retrying');
    expect(stderr).toContain('--url');
    expect(code).toBe(8);
  }
});

test('a collection that does not exist is answered with the names that are like its own', async () => {
  for (const [command, name, suggested] of [
    ['inspect dcos', 'dcos', 'did you mean "docs"?'],
    ['inspect Docs-C96', 'Docs-C96', 'did you mean "docs_c96"?'],
    ['inspect serch', 'serch', 'did you mean "search"?'],
    ['inspect zzzzzz', 'zzzzzz', 'it has "articles", "docs", "docs_c96" and "search"'],
    ['train artikles --dim 4 --out new.onnx', 'artikles', 'did you mean "articles"?'],
    ['plan dosc', 'dosc', 'did you mean "docs"?'],
    ['migrate start doc docs_new --encoder enc.onnx', 'doc', 'did you mean "docs"?'],
    ['migrate reencode docs_c69 --encoder enc.onnx', 'docs_c69', 'did you mean "docs_c96"?'],
    ['migrate status doks docs_c96', 'doks', 'did you mean "docs"?'],
    ['migrate cutover docs docs-c97 --alias search', 'docs-c97', 'did you mean "docs_c96"?'],
    ['serve --collection docs --target docs_c9 --encoder enc.onnx', 'docs_c9', 'did you mean "docs_c96"'],
  ] as const) {
    const { code, stderr } = await place.cli(...command.split(' '));
    expect(`${command}: ${stderr}`).toContain(
      `collection ${name} does not exist on ${place.server.url}: ${suggested}`,
    );
    expect(code).toBe(4);
  }
});

await describeWithCertificates('at a server with TLS', () => {
  let folder: string;
  let tls: TestServer;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'qdrant-tldr-first-tls-'));
    tls = await startTestServer(tlsSettings(await makeCertificates(folder), 'correct-horse-battery'));
  });
  afterAll(async () => {
    await tls.stop();
    await rm(folder, { recursive: true });
  });

  plainTest(
    'http is answered with the https address, and a gRPC address with the kind of address',
    async () => {
      const http = (url: string): string => url.replace('https:', 'http:');
      const rest = `https://${hostOf(tls.url)}`;
      expect(await failure(http(tls.url))).toContain(`the server there speaks https: give ${rest}`);
      expect(await failure(`https://${hostOf(tls.grpcUrl)}`)).toContain('as at a gRPC address');
      expect(await failure(rest)).toContain('NODE_EXTRA_CA_CERTS');
      expect(await failure(place.server.url, { grpcUrl: http(tls.grpcUrl) })).toContain('speaks https');
    },
  );
});
