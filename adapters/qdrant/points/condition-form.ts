/** The forms of conditions on points: JSON text of a filter, or a Filter message. */
export const CONDITION_FORM = { json: 'json', message: 'message' } as const;
