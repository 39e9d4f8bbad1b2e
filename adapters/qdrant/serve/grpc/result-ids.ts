import { answerReader, decodePointId } from '../../transport/wire.js';
import { grpcOperation, isSearch } from '../operations.js';
import { Malformed, ProtoMessage } from '../protobuf/message.js';

/** Field 1 of every answer: its points, its batches of points (result 1), or its groups. */
const RESULT = 1;
/** GroupsResult: groups 1 (PointGroup: hits 2). */
const GROUPS = 1;
const HITS = 2;
/** ScoredPoint: id 1. */
const ID = 1;

/** Returns result ids in order, one list for each search of the call. Groups are concatenated. */
export function grpcResultIds(path: string, bytes: Uint8Array): readonly (readonly string[])[] {
  const operation = grpcOperation(path);
  if (!isSearch(operation)) return [];
  try {
    const answer = new ProtoMessage(bytes);
    if (operation.form === 'batch')
      return answer.all(RESULT).map((batch) => idsOf(new ProtoMessage(batch), RESULT));
    if (operation.form === 'one') return [idsOf(answer, RESULT)];
    const groups = answer.all(RESULT).flatMap((result) => new ProtoMessage(result).all(GROUPS));
    return [groups.flatMap((group) => idsOf(new ProtoMessage(group), HITS))];
  } catch (error) {
    if (error instanceof Malformed) return [];
    throw error;
  }
}

function idsOf(message: ProtoMessage, points: number): string[] {
  return message
    .all(points)
    .map((point) => String(decodePointId(answerReader(new ProtoMessage(point).bytes(ID) ?? NOTHING))));
}

const NOTHING = new Uint8Array(0);
