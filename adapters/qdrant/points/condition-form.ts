import type { PointCondition } from '../../../src/store/points.js';

/** The forms of conditions on points: JSON text of a filter, or a Filter message. */
export const CONDITION_FORM = { json: 'json', message: 'message' } as const;

/** Returns the condition of a filter in JSON text, as the REST API takes it. */
export function jsonCondition(filter: string): PointCondition {
  return { form: CONDITION_FORM.json, bytes: Buffer.from(filter) };
}
