import { PAYLOAD_DEPTH_MAX } from '../../points/payload-depth.js';
import { ProtoMessage } from '../protobuf/message.js';
import { checkPayloadDepth } from '../rules.js';

const SET_PAYLOAD = '/qdrant.Points/SetPayload';
const UPDATE_BATCH = '/qdrant.Points/UpdateBatch';
/** UpdateBatchPoints: operations; PointsUpdateOperation: set_payload. */
const OPERATIONS = 3;
const OPERATION_SET_PAYLOAD = 3;
/** Value: struct_value, and list_value with values 1. */
const STRUCT = 6;
const LIST = 7;

/**
 * Checks that a call sets no payload under a key so deep that no request could write the point to the target.
 * If the call overwrites a payload, the server ignores the key.
 * @throws Refusal
 */
export function checkGrpcSetPayloads(path: string, message: ProtoMessage): void {
  if (path === SET_PAYLOAD) check(message, { payload: 3, key: 8 });
  if (path !== UPDATE_BATCH) return;
  for (const operation of message.all(OPERATIONS))
    for (const set of new ProtoMessage(operation).all(OPERATION_SET_PAYLOAD))
      check(new ProtoMessage(set), { payload: 1, key: 4 });
}

function check(message: ProtoMessage, at: { readonly payload: number; readonly key: number }): void {
  const key = message.text(at.key);
  if (key !== null) checkPayloadDepth({ key, payloadDepth: 1 + entriesDepth(message.all(at.payload), 1) });
}

/** Returns the nesting depth in the values of map entries. It stops as soon as the limit is exceeded. */
function entriesDepth(entries: readonly Uint8Array[], above: number): number {
  return deepest(
    entries.flatMap((entry) => new ProtoMessage(entry).all(2)),
    above,
  );
}

function deepest(values: readonly Uint8Array[], above: number): number {
  if (above > PAYLOAD_DEPTH_MAX) return 0;
  let most = 0;
  for (const value of values) {
    const message = new ProtoMessage(value);
    for (const struct of message.all(STRUCT))
      most = Math.max(most, 1 + entriesDepth(new ProtoMessage(struct).all(1), above + 1));
    for (const list of message.all(LIST))
      most = Math.max(most, 1 + deepest(new ProtoMessage(list).all(1), above + 1));
  }
  return most;
}
