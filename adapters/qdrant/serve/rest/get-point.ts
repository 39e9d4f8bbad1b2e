import type { LookupAnswer, RestAnswer, RestRewrite } from '../../../../src/serve/protocol.js';
import type { ServedCollection } from '../../../../src/store/served.js';
import type { PointId } from '../../../../src/core/point-id.js';
import { U64_MAX } from '../../points/point-id.js';
import { scanJson } from '../json/scan-body.js';
import { asciiJson, ByteEdits } from '../json/byte-edits.js';
import { uuidId } from '../point-ids.js';
import { errorAnswer, failedAnswer } from './answer.js';
import { elementsOf, entryOf } from './structures.js';
import { clientText, Refusal, treatWithVector } from '../rules.js';

/**
 * Rewrites `GET /points/{id}`, which cannot choose vectors, into `POST /points` with one id.
 * @throws Refusal
 */
export function rewritePoint(
  idText: string,
  { served, search }: { readonly served: ServedCollection; readonly search: string },
  lookups: readonly LookupAnswer[] | undefined,
): RestRewrite {
  const id = pointId(idText);
  if (id === null) throw new Refusal(400, `Wrong input: Can not recognize "${idText}" as point id`);
  const answer = lookups?.[0];
  if (answer !== undefined) return pointAnswer(id, served, answer);
  const selection = treatWithVector(true, served);
  const vectors = selection === 'keep' ? 'true' : `[${selection.names.map(asciiJson).join()}]`;
  const json = typeof id === 'bigint' ? String(id) : asciiJson(id);
  const request = {
    method: 'POST',
    url: `/collections/${encodeURIComponent(served.target)}/points${search}`,
    body: Buffer.from(`{"ids":[${json}],"with_payload":true,"with_vector":${vectors}}`, 'latin1'),
  };
  return { kind: 'lookup', requests: [request] };
}

function pointAnswer(id: bigint | string, served: ServedCollection, answer: LookupAnswer): RestAnswer {
  const { status, body, contentType } = answer;
  if (status >= 400) return failedAnswer(answer, (text) => clientText(text, served));
  const source = new ByteEdits(body);
  const result = entryOf(scanJson(body), 'result');
  const [point] = elementsOf(result, source);
  if (result === undefined || point === undefined)
    return errorAnswer(404, `Not found: Point with id ${String(id)} does not exists!`);
  source.replace(result, source.raw(point));
  return { kind: 'answer', status, contentType, body: source.apply().toString('utf8') };
}

/** Returns a point's id as the server reads it in a path; null if the server refuses it. */
function pointId(text: string): PointId | null {
  if (/^\+?\d+$/.test(text)) {
    const id = BigInt(text.replace('+', ''));
    return id <= U64_MAX ? id : null;
  }
  return uuidId(text);
}
