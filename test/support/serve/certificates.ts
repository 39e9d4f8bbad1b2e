import { describe } from '@jest/globals';
import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** Paths of PEM files. */
export interface Certificates {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

/** Why no certificates can be made here; null where they can. */
export async function whyNoCertificates(): Promise<string | null> {
  return run('openssl', ['version']).then(
    () => null,
    () => 'no openssl to make a certificate with',
  );
}

/** A private authority, and a certificate of it for the loopback address. */
export async function makeCertificates(folder: string): Promise<Certificates> {
  const at = (name: string): string => join(folder, name);
  const openssl = (...args: string[]): Promise<unknown> => run('openssl', args);
  const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  const authority = ['-x509', '-days', '2', '-subj', '/CN=test authority'];
  await openssl('req', ...curve, ...authority, '-keyout', at('ca.key'), '-out', at('ca.pem'));
  const request = ['-keyout', at('key.pem'), '-out', at('request.pem')];
  await openssl('req', ...curve, '-subj', '/CN=127.0.0.1', ...request);
  await writeFile(at('extensions'), 'subjectAltName=IP:127.0.0.1\n');
  const signing = ['-CA', at('ca.pem'), '-CAkey', at('ca.key'), '-CAcreateserial', '-days', '2'];
  const files = ['-in', at('request.pem'), '-out', at('cert.pem'), '-extfile', at('extensions')];
  await openssl('x509', '-req', ...signing, ...files);
  return { ca: at('ca.pem'), cert: at('cert.pem'), key: at('key.pem') };
}

/** A group of tests that need certificates; left out, with the reason printed, where none can be made. */
export async function describeWithCertificates(title: string, tests: () => void): Promise<void> {
  const missing = await whyNoCertificates();
  if (missing !== null) process.stderr.write(`TLS tests left out: ${missing}\n`);
  if (missing === null) describe(title, tests);
  else describe.skip(`${title} (left out: ${missing})`, tests);
}

/** What makes a test server speak TLS and ask for a key. */
export function tlsSettings({ ca, cert, key }: Certificates, apiKey: string): Record<string, string> {
  return {
    QDRANT__SERVICE__ENABLE_TLS: 'true',
    QDRANT__SERVICE__API_KEY: apiKey,
    QDRANT__TLS__CERT: cert,
    QDRANT__TLS__KEY: key,
    QDRANT__TLS__CA_CERT: ca,
  };
}
