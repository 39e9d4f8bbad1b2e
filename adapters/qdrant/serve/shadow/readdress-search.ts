import type { GrpcCall } from '../../../../src/serve/protocol.js';
import { BATCHED_SEARCHES, COLLECTION } from '../search-fields.js';
import { grpcOperation, isSearch } from '../operations.js';
import { decodeText, Malformed, ProtoMessage } from '../protobuf/message.js';
import { edited, type FieldEdit } from '../protobuf/builder.js';
import { parsePath } from '../rest/parse-address.js';

/** Returns the address of the same search on another collection; null if none of these names is searched. */
export function readdressedUrl(
  url: string,
  others: ReadonlyMap<string, string>,
): { readonly name: string; readonly url: string } | null {
  const { segments, raw, search } = parsePath(url);
  const name = segments[1] ?? '';
  const other = others.get(name);
  if (segments[0] !== 'collections' || other === undefined) return null;
  return { name, url: `/collections/${encodeURIComponent(other)}/${raw.slice(2).join('/')}${search}` };
}

/** Returns the same search on another collection as a call; null if none of these names is searched. */
export function readdressedCall(
  { path, message }: GrpcCall,
  others: ReadonlyMap<string, string>,
): { readonly name: string; readonly call: GrpcCall } | null {
  const operation = grpcOperation(path);
  if (!isSearch(operation)) return null;
  try {
    const request = new ProtoMessage(message);
    const name = request.textOrEmpty(COLLECTION);
    const other = others.get(name);
    if (other === undefined) return null;
    const rename: FieldEdit = (value) => (decodeText(value) === name ? Buffer.from(other) : value);
    const renamed = new Map([[COLLECTION, rename]]);
    const inBatch: FieldEdit = (search) => edited(new ProtoMessage(search), renamed);
    const edits = operation.form === 'batch' ? new Map([...renamed, [BATCHED_SEARCHES, inBatch]]) : renamed;
    return { name, call: { path, message: edited(request, edits).finish() } };
  } catch (error) {
    if (error instanceof Malformed) return null;
    throw error;
  }
}
