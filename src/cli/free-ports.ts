import { createServer } from 'node:net';

/** Ports of an address that nobody listens on now, all different. */
export async function freePorts(count: number, host = '127.0.0.1'): Promise<readonly number[]> {
  const open = (): Promise<{ port: number; close: () => Promise<void> }> =>
    new Promise((resolve, reject) => {
      const server = createServer();
      server.once('error', reject);
      server.listen(0, host, () => {
        const address = server.address();
        const port = typeof address === 'object' && address !== null ? address.port : 0;
        resolve({ port, close: () => new Promise((done) => server.close(() => done())) });
      });
    });
  const servers = await Promise.all(Array.from({ length: count }, open));
  await Promise.all(servers.map(({ close }) => close()));
  return servers.map(({ port }) => port);
}
