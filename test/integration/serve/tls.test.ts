import { expect } from '@jest/globals';
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { encodeRequest, pathOf } from '../../support/wire/grpc-schemas.js';
import { runCli } from '../../support/cli/run-cli.js';
import { DIM, tinyEncoder } from '../../support/migrate/fixtures.js';
import { describeWithCertificates, makeCertificates, tlsSettings } from '../../support/serve/certificates.js';
import { fetchOnce } from '../../support/server/fetch-once.js';
import { framed, GrpcProber } from '../../support/serve/grpc-probe.js';
import { endServing, startServe } from '../../support/serve/serve-child.js';
import { startTestServer, testsOn } from '../../support/server/test-server.js';

const run = promisify(execFile);
const FILL = fileURLToPath(new URL('../../support/server/tls-connect-child.js', import.meta.url));
const KEY = 'correct-horse-battery';
const AT = '127.0.0.1:0';

const test = await testsOn('a process');

await describeWithCertificates('to a server with TLS', () => {
  test('serve sends both transports and their keys, where Node knows its authority, and nothing elsewhere', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'qdrant-tldr-serve-tls-'));
    const certificates = await makeCertificates(folder);
    const { ca } = certificates;
    const server = await startTestServer(tlsSettings(certificates, KEY));
    const env = { NODE_EXTRA_CA_CERTS: ca, QDRANT_API_KEY: KEY };
    try {
      const { url, grpcUrl } = server;
      await run(process.execPath, [FILL, url, grpcUrl, KEY], { env: { ...process.env, ...env } });
      await tinyEncoder().save(join(folder, 'encoder.onnx'));
      const at = ['--url', url, '--grpc-url', grpcUrl, '--encoder', 'encoder.onnx'];
      const migrated = await runCli(['migrate', 'data', 'small', ...at, '--layout', 'compact', '--yes'], {
        cwd: folder,
        env,
      });
      expect(migrated).toMatchObject({ code: 0 });
      const listening = { listenRest: AT, listenGrpc: AT, listenOperations: AT };
      const collections = { docs: { target: 'small', encoder: 'encoder.onnx' } };
      await writeFile(
        join(folder, 'serve.json'),
        JSON.stringify({ url, grpcUrl, ...listening, collections }),
      );
      const untrusting = runCli(['serve', '--config', 'serve.json'], {
        cwd: folder,
        env: { QDRANT_API_KEY: KEY },
      });
      expect(await untrusting).toMatchObject({ code: 8, stderr: expect.stringContaining('certificate') });

      const serving = await startServe(folder, [], { env });
      const vector = Array<number>(DIM).fill(1);
      const search = async (headers: Readonly<Record<string, string>>): Promise<number> => {
        const response = await fetchOnce(`${serving.rest}/collections/docs/points/query`, {
          method: 'POST',
          headers: { 'content-type': 'application/json', ...headers },
          body: JSON.stringify({ query: vector }),
        });
        await response.arrayBuffer();
        return response.status;
      };
      expect(await search({ 'api-key': KEY })).toBe(200);
      // The proxy's own key is not lent to clients.
      expect(await search({})).toBe(401);
      const prober = new GrpcProber(serving.grpc);
      const query = { nearest: { dense: { data: vector } } };
      const body = framed(encodeRequest('Points/Query', { collectionName: 'docs', query }));
      const call = { path: pathOf('Points/Query'), body };
      const found = await prober.call({ ...call, metadata: { 'api-key': KEY } });
      expect(found.trailers).toMatchObject({ 'grpc-status': '0' });
      expect((await prober.call(call)).headers).toMatchObject({ 'grpc-status': '16' });
      prober.close();
      serving.child.kill('SIGTERM');
      expect(await serving.ended).toBe(0);
    } finally {
      endServing();
      await server.stop();
      await rm(folder, { recursive: true });
    }
  });
});
