/** The forms in which conditions on points are given here: JSON text of a filter, or a Filter message. */
export const CONDITION_FORM = { json: 'json', message: 'message' } as const;
