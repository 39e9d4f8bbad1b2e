import { jsonDepth } from '../../points/payload-depth.js';
import type { JsonNode } from '../json/scan.js';
import type { ByteEdits } from '../json/byte-edits.js';
import { elementsOf, fieldsOf, STRUCTURES, textOf, UPDATE_KINDS, valueOf } from '../rest/fields.js';
import type { AffectKind } from './rest-affected-points.js';
import { checkPayloadDepth } from '../rules.js';

/**
 * Checks that a body sets no payload under a key so deep that no request could write the point to the target.
 * Only a key can make a payload so deep: the server accepts no body with a deeper payload. If the body
 * overwrites a payload, the server ignores the key.
 * @throws Refusal
 */
export function checkRestSetPayloads(kind: AffectKind, root: JsonNode, source: ByteEdits): void {
  if (kind === 'set payload') {
    const fields = fieldsOf(root, STRUCTURES.setPayload, source);
    const payload = valueOf(fields, 'payload');
    const key = textOf(fields, 'key', source);
    if (payload !== undefined && key !== undefined)
      checkPayloadDepth({ key, payloadDepth: jsonDepth(source.raw(payload)) });
    return;
  }
  if (kind !== 'operations') return;
  const operations = valueOf(fieldsOf(root, STRUCTURES.operations, source), 'operations');
  for (const operation of elementsOf(operations, source)) {
    const set = fieldsOf(operation, UPDATE_KINDS, source).get('set_payload');
    if (set !== undefined) checkRestSetPayloads('set payload', set.value, source);
  }
}
