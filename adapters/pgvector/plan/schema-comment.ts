import * as v from 'valibot';

/** What the comment on a scratch schema says: who made it, and how its vectors are stored. */
export interface ScratchComment {
  /** JSON text for each top-level key. */
  readonly metadata: Readonly<Record<string, string>>;
  readonly native: string;
}

const COMMENT = v.object({ metadata: v.record(v.string(), v.string()), native: v.string() });

/** Returns the text of a comment, which `readComment` reads. */
export function commentText(comment: ScratchComment): string {
  return JSON.stringify(comment);
}

/** Returns what a comment says; null for any other comment, or none. */
export function readComment(text: unknown): ScratchComment | null {
  if (typeof text !== 'string') return null;
  try {
    const value: unknown = JSON.parse(text);
    return v.is(COMMENT, value) ? value : null;
  } catch {
    return null;
  }
}
