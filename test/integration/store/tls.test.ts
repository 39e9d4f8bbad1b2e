import { expect } from '@jest/globals';
import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describeWithCertificates, makeCertificates, tlsSettings } from '../../support/serve/certificates.js';
import { startTestServer, testsOn } from '../../support/server/test-server.js';

const run = promisify(execFile);
const CHILD = fileURLToPath(new URL('../../support/server/tls-connect-child.js', import.meta.url));
const KEY = 'correct-horse-battery';

const test = await testsOn('a process');

await describeWithCertificates('over TLS', () => {
  test('an authority that Node is told of is trusted, any other refused; calls of no bytes are answered', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'qdrant-tldr-tls-'));
    const certificates = await makeCertificates(folder);
    const { ca } = certificates;
    const server = await startTestServer(tlsSettings(certificates, KEY));
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
