import { describe, expect } from '@jest/globals';
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { startTestServer, testsOn } from './test-server.js';

const run = promisify(execFile);
const CHILD = fileURLToPath(new URL('./connect-child.js', import.meta.url));
const KEY = 'correct-horse-battery';

const missing = await run('openssl', ['version']).then(
  () => null,
  () => 'no openssl to make a certificate with',
);
if (missing !== null) process.stderr.write(`TLS tests left out: ${missing}\n`);
const title = missing === null ? 'over TLS' : `over TLS (left out: ${missing})`;

/** A private authority, and a certificate of it for the loopback address. */
async function makeCertificates(folder: string): Promise<{ ca: string; cert: string; key: string }> {
  const at = (name: string): string => join(folder, name);
  const openssl = (...args: string[]): Promise<unknown> => run('openssl', args);
  const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  const authority = ['-x509', '-days', '2', '-subj', '/CN=test authority'];
  await openssl('req', ...curve, ...authority, '-keyout', at('ca.key'), '-out', at('ca.pem'));
  await openssl(
    'req',
    ...curve,
    '-subj',
    '/CN=127.0.0.1',
    '-keyout',
    at('key.pem'),
    '-out',
    at('request.pem'),
  );
  await writeFile(at('extensions'), 'subjectAltName=IP:127.0.0.1\n');
  const signing = ['-CA', at('ca.pem'), '-CAkey', at('ca.key'), '-CAcreateserial', '-days', '2'];
  const files = ['-in', at('request.pem'), '-out', at('cert.pem'), '-extfile', at('extensions')];
  await openssl('x509', '-req', ...signing, ...files);
  return { ca: at('ca.pem'), cert: at('cert.pem'), key: at('key.pem') };
}

const test = await testsOn('a process');

(missing === null ? describe : describe.skip)(title, () => {
  test('an authority that Node is told of is trusted, any other refused; calls of no bytes are answered', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'qdrant-tldr-tls-'));
    const { ca, cert, key } = await makeCertificates(folder);
    const server = await startTestServer({
      QDRANT__SERVICE__ENABLE_TLS: 'true',
      QDRANT__SERVICE__API_KEY: KEY,
      QDRANT__TLS__CERT: cert,
      QDRANT__TLS__KEY: key,
      QDRANT__TLS__CA_CERT: ca,
    });
    try {
      const child = (env: Readonly<Record<string, string>>): Promise<{ stdout: string }> =>
        run(process.execPath, [CHILD, server.url, server.grpcUrl, KEY], { env: { ...process.env, ...env } });
      await expect(child({ NODE_EXTRA_CA_CERTS: '' })).rejects.toMatchObject({
        stderr: expect.stringContaining('certificate'),
      });
      expect((await child({ NODE_EXTRA_CA_CERTS: ca })).stdout).toBe('100\n');
    } finally {
      await server.stop();
      await rm(folder, { recursive: true });
    }
  });
});
