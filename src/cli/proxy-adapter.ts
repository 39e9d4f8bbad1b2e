/** What the proxy uses of the adapter. It stands alone, so that no other command loads it. */
export { serverAddresses } from '../../adapters/qdrant/open.js';
export { freePorts } from '../../adapters/qdrant/local/free-ports.js';
export { grpcChanges } from '../../adapters/qdrant/serve/dual-write/grpc-changes.js';
export { restChanges } from '../../adapters/qdrant/serve/dual-write/rest-changes.js';
export { strictModeSearchLimits } from '../../adapters/qdrant/serve/strict-mode-search-limits.js';
export { restFailure } from '../../adapters/qdrant/serve/rest/failure.js';
export { grpcRewriter } from '../../adapters/qdrant/serve/rewriters/grpc.js';
export { restRewriter } from '../../adapters/qdrant/serve/rewriters/rest.js';
export { readdressedCall, readdressedUrl } from '../../adapters/qdrant/serve/shadow/readdress-search.js';
