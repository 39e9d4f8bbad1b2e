import type { ServedCollection } from '../../../../src/store/served.js';
import type { AnswerForm, GrpcStatus } from '../../../../src/serve/protocol.js';
import { collectionInfo } from './collection-info.js';
import { Malformed, ProtoMessage } from '../protobuf/message.js';
import { edited, ProtoBuilder, type FieldEdit } from '../protobuf/builder.js';
import { clientName, findServed, Refusal } from '../rules.js';

/**
 * Returns an answer rewritten for the client. An unreadable answer or one of another form stays unchanged.
 */
export function rewriteGrpcAnswer(
  form: AnswerForm,
  bytes: Uint8Array,
  collections: readonly ServedCollection[],
): Uint8Array {
  const served = findServed(form.collection, collections);
  try {
    if (form.form === 'list') return listAnswer(bytes, collections);
    return form.form === 'info' && served !== null ? collectionInfo(bytes, served) : bytes;
  } catch (error) {
    if (error instanceof Malformed) return bytes;
    throw error;
  }
}

/** Returns the result 1 of a CollectionOperationResponse, absent if nothing was deleted, as by an alias. */
export function isDeletedByGrpc(bytes: Uint8Array): boolean {
  try {
    return new ProtoMessage(bytes).varintOrZero(1) !== 0n;
  } catch (error) {
    if (error instanceof Malformed) return false;
    throw error;
  }
}

/**
 * ListCollectionsResponse (CollectionDescription 1 of name 1) and ListAliasesResponse (AliasDescription 1 of
 * alias_name 1 and collection_name 2): targets by their clients' names.
 */
function listAnswer(bytes: Uint8Array, collections: readonly ServedCollection[]): Uint8Array {
  const message = new ProtoMessage(bytes);
  const entries = message.all(1).map((entry) => new ProtoMessage(entry));
  const listed = new Set(entries.filter((entry) => !entry.has(2)).map((entry) => entry.text(1)));
  const change: FieldEdit = (value) => {
    const entry = new ProtoMessage(value);
    const alias = entry.has(2) ? entry.text(1) : null;
    const field = alias === null ? 1 : 2;
    const name = entry.textOrEmpty(field);
    const shown = clientName(name, collections);
    if (shown === name) return value;
    // Clients see two collections of the same name as one.
    if (alias === null ? listed.has(shown) : alias === shown) return null;
    return edited(entry, new Map([[field, () => Buffer.from(shown)]]));
  };
  return new ProtoBuilder().raw(edited(message, new Map([[1, change]]))).finish();
}

/** Returns the decision, or the status of a Refusal. Other errors are bugs and are thrown on. */
export function orStatus<T>(decide: () => T): T | GrpcStatus {
  try {
    return decide();
  } catch (error) {
    if (error instanceof Refusal) return refusalStatus(error);
    throw error;
  }
}

export function refusalStatus({ grpcCode: code, message }: Refusal): GrpcStatus {
  return { kind: 'status', code, message };
}
