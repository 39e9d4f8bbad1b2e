/** The adapters of databases. No other file of the product imports one. */
export {
  openQdrant,
  type OpenQdrantOptions,
  openQdrantRecords,
  serverAddresses,
} from '../../adapters/qdrant/index.js';
export { freePorts } from '../../adapters/qdrant/local/free-ports.js';
export { PACKAGED_VERSION, startLocalQdrant } from '../../adapters/qdrant/local/start.js';
export { grpcChanges } from '../../adapters/qdrant/serve/dual-write/grpc-mutations.js';
export { restChanges } from '../../adapters/qdrant/serve/dual-write/rest-mutations.js';
export { requestLimits } from '../../adapters/qdrant/serve/request-limits.js';
export { restFailure } from '../../adapters/qdrant/serve/rest/failure.js';
export { grpcRewriter } from '../../adapters/qdrant/serve/rewriters/grpc.js';
export { restRewriter } from '../../adapters/qdrant/serve/rewriters/rest.js';
export { callOn, searchOn } from '../../adapters/qdrant/serve/shadow/search-on.js';
export { NAME_BYTES_MAX } from '../../adapters/qdrant/store/aliases.js';
export { STATE_COLLECTION } from '../../adapters/qdrant/store/state-store.js';
