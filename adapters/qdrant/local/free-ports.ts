import { createServer } from 'node:net';
import { isTldrError } from '../../../src/core/errors.js';

/** An attempt fails only if another process takes a port between its choice and its use. */
const ATTEMPTS = 5;

/** Returns different ports of an address on which nobody listens now. */
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

/**
 * Calls `start` with free ports and returns its result. If its error has a field `addressInUse`, another
 * process has taken one of the ports, and `start` is called again with others.
 * @throws the errors of `start`
 */
export async function onFreePorts<T>(
  count: number,
  start: (ports: readonly number[]) => Promise<T>,
): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await start(await freePorts(count));
    } catch (error) {
      const taken = isTldrError(error) && error.fields['addressInUse'] === true;
      if (!taken || attempt === ATTEMPTS) throw error;
    }
  }
}
