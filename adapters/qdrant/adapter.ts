import type { Adapter } from '../../src/store/adapter.js';
import { clientWays } from './client-ways.js';
import { PACKAGED_VERSION } from './local/packaged-version.js';

/** Qdrant, by its REST address. */
export const QDRANT: Adapter = {
  name: 'qdrant',
  schemes: ['http', 'https'],
  settings: [
    {
      name: 'grpcUrl',
      env: 'QDRANT_TLDR_GRPC_URL',
      doc: 'gRPC address; empty: the REST host with the next port',
      value: 'url',
      isAddress: true,
    },
  ],
  open: async ({ settings, ...options }) =>
    (await import('./open.js')).openQdrant({ ...options, grpcUrl: settings['grpcUrl'] }),
  clientWays,
  local: {
    version: PACKAGED_VERSION,
    capabilities: async () => (await import('./store/vector-storage.js')).capabilitiesOf(PACKAGED_VERSION),
    start: async () => {
      const { startLocalQdrant } = await import('./local/start.js');
      const server = await startLocalQdrant();
      const { url, grpcUrl } = server;
      return { url, settings: { grpcUrl }, stop: () => server.stop() };
    },
  },
};
