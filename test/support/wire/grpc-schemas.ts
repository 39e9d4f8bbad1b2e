import {
  createRegistry,
  fromBinary,
  fromJson,
  toBinary,
  toJson,
  type DescMessage,
  type JsonValue,
} from '@bufbuild/protobuf';
import { file_collections, file_common, file_points, file_snapshots_service } from '@qdrant/js-client-grpc';

const registry = createRegistry(file_common, file_collections, file_points, file_snapshots_service);

/** Request and answer of each method, as the official client's descriptions name them. */
const MESSAGES: Readonly<Record<string, readonly [string, string]>> = {
  'Points/Upsert': ['UpsertPoints', 'PointsOperationResponse'],
  'Points/Delete': ['DeletePoints', 'PointsOperationResponse'],
  'Points/Get': ['GetPoints', 'GetResponse'],
  'Points/UpdateVectors': ['UpdatePointVectors', 'PointsOperationResponse'],
  'Points/DeleteVectors': ['DeletePointVectors', 'PointsOperationResponse'],
  'Points/SetPayload': ['SetPayloadPoints', 'PointsOperationResponse'],
  'Points/OverwritePayload': ['SetPayloadPoints', 'PointsOperationResponse'],
  'Points/DeletePayload': ['DeletePayloadPoints', 'PointsOperationResponse'],
  'Points/ClearPayload': ['ClearPayloadPoints', 'PointsOperationResponse'],
  'Points/CreateFieldIndex': ['CreateFieldIndexCollection', 'PointsOperationResponse'],
  'Points/DeleteFieldIndex': ['DeleteFieldIndexCollection', 'PointsOperationResponse'],
  'Points/CreateVectorName': ['CreateVectorNameRequest', 'PointsOperationResponse'],
  'Points/DeleteVectorName': ['DeleteVectorNameRequest', 'PointsOperationResponse'],
  'Points/Search': ['SearchPoints', 'SearchResponse'],
  'Points/SearchBatch': ['SearchBatchPoints', 'SearchBatchResponse'],
  'Points/SearchGroups': ['SearchPointGroups', 'SearchGroupsResponse'],
  'Points/Scroll': ['ScrollPoints', 'ScrollResponse'],
  'Points/Recommend': ['RecommendPoints', 'RecommendResponse'],
  'Points/RecommendBatch': ['RecommendBatchPoints', 'RecommendBatchResponse'],
  'Points/RecommendGroups': ['RecommendPointGroups', 'RecommendGroupsResponse'],
  'Points/Discover': ['DiscoverPoints', 'DiscoverResponse'],
  'Points/DiscoverBatch': ['DiscoverBatchPoints', 'DiscoverBatchResponse'],
  'Points/Count': ['CountPoints', 'CountResponse'],
  'Points/UpdateBatch': ['UpdateBatchPoints', 'UpdateBatchResponse'],
  'Points/Query': ['QueryPoints', 'QueryResponse'],
  'Points/QueryBatch': ['QueryBatchPoints', 'QueryBatchResponse'],
  'Points/QueryGroups': ['QueryPointGroups', 'QueryGroupsResponse'],
  'Points/Facet': ['FacetCounts', 'FacetResponse'],
  'Points/SearchMatrixPairs': ['SearchMatrixPoints', 'SearchMatrixPairsResponse'],
  'Points/SearchMatrixOffsets': ['SearchMatrixPoints', 'SearchMatrixOffsetsResponse'],
  'Collections/Get': ['GetCollectionInfoRequest', 'GetCollectionInfoResponse'],
  'Collections/List': ['ListCollectionsRequest', 'ListCollectionsResponse'],
  'Collections/Create': ['CreateCollection', 'CollectionOperationResponse'],
  'Collections/Update': ['UpdateCollection', 'CollectionOperationResponse'],
  'Collections/Delete': ['DeleteCollection', 'CollectionOperationResponse'],
  'Collections/UpdateAliases': ['ChangeAliases', 'CollectionOperationResponse'],
  'Collections/ListCollectionAliases': ['ListCollectionAliasesRequest', 'ListAliasesResponse'],
  'Collections/ListAliases': ['ListAliasesRequest', 'ListAliasesResponse'],
  'Collections/CollectionExists': ['CollectionExistsRequest', 'CollectionExistsResponse'],
  'Collections/CollectionClusterInfo': ['CollectionClusterInfoRequest', 'CollectionClusterInfoResponse'],
  'Collections/UpdateCollectionClusterSetup': [
    'UpdateCollectionClusterSetupRequest',
    'UpdateCollectionClusterSetupResponse',
  ],
  'Collections/CreateShardKey': ['CreateShardKeyRequest', 'CreateShardKeyResponse'],
  'Collections/DeleteShardKey': ['DeleteShardKeyRequest', 'DeleteShardKeyResponse'],
  'Collections/ListShardKeys': ['ListShardKeysRequest', 'ListShardKeysResponse'],
  'Snapshots/Create': ['CreateSnapshotRequest', 'CreateSnapshotResponse'],
  'Snapshots/List': ['ListSnapshotsRequest', 'ListSnapshotsResponse'],
  'Snapshots/Delete': ['DeleteSnapshotRequest', 'DeleteSnapshotResponse'],
};

/** Every method of which a request can be written here, such as `Points/Query`. */
export const METHOD_NAMES = Object.keys(MESSAGES);

export function pathOf(method: string): string {
  return `/qdrant.${method}`;
}

function schema(method: string, which: 0 | 1): DescMessage {
  const name = MESSAGES[method]?.[which];
  const found = registry.getMessage(`qdrant.${name}`);
  if (found === undefined) throw new Error(`no description of ${method}`);
  return found;
}

/** The description of a method's request. */
export function requestSchema(method: string): DescMessage {
  return schema(method, 0);
}

export function encodeRequest(method: string, json: JsonValue): Uint8Array {
  return toBinary(schema(method, 0), fromJson(schema(method, 0), json));
}

export function decodeRequest(method: string, bytes: Uint8Array): JsonValue {
  return toJson(schema(method, 0), fromBinary(schema(method, 0), bytes));
}

export function encodeAnswer(method: string, json: JsonValue): Uint8Array {
  return toBinary(schema(method, 1), fromJson(schema(method, 1), json));
}

export function decodeAnswer(method: string, bytes: Uint8Array): JsonValue {
  return toJson(schema(method, 1), fromBinary(schema(method, 1), bytes));
}

/** A message by its name, such as `QueryResponse`, with every value that has a default. */
export function decodeMessage(name: string, bytes: Uint8Array): JsonValue {
  const found = registry.getMessage(`qdrant.${name}`);
  if (found === undefined) throw new Error(`no description of ${name}`);
  return toJson(found, fromBinary(found, bytes), { alwaysEmitImplicit: true });
}
