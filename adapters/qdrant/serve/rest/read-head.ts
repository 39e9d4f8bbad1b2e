import type { ReadHead, RestHead } from '../../../../src/serve/protocol.js';
import { restOperation, type ApiOperation } from '../operations.js';
import { parsePath, type RestPath } from './parse-address.js';

/** A request's head with its address and its row in the table of operations. */
export interface OperationHead extends ReadHead {
  readonly path: RestPath;
  readonly operation: ApiOperation;
}

/** Returns what a request's head tells. */
export function readRestHead({ method, url, headers }: RestHead): OperationHead {
  const path = parsePath(url);
  const operation = restOperation(method, path.segments);
  const { changes } = operation;
  const [first, name] = path.segments;
  const isOnCollection = first === 'collections' && name !== undefined;
  const addressed = isOnCollection && operation.kind !== 'change aliases' ? { name, changes } : null;
  return { method, url, headers, path, operation, addressed, changes: isOnCollection && changes };
}
