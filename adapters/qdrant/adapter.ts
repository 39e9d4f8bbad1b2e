import type { Adapter } from '../../src/store/adapter.js';
import { openQdrant } from './index.js';
import { PACKAGED_VERSION, startLocalQdrant } from './local/start.js';

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
  open: ({ settings, ...options }) => openQdrant({ ...options, grpcUrl: settings['grpcUrl'] }),
  local: {
    version: PACKAGED_VERSION,
    start: async () => {
      const server = await startLocalQdrant();
      const { url, grpcUrl } = server;
      return { url, settings: { grpcUrl }, stop: () => server.stop() };
    },
  },
};
