import { describe, expect } from '@jest/globals';
import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { makeCertificates, whyNoCertificates } from './certificates.js';
import { startTestServer, testsOn } from './test-server.js';

const run = promisify(execFile);
const CHILD = fileURLToPath(new URL('./connect-child.js', import.meta.url));
const KEY = 'correct-horse-battery';

const missing = await whyNoCertificates();
if (missing !== null) process.stderr.write(`TLS tests left out: ${missing}\n`);
const title = missing === null ? 'over TLS' : `over TLS (left out: ${missing})`;

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
