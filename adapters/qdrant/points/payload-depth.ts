/** Deepest nesting of a payload that the server takes in a request for the payload alone. */
export const PAYLOAD_DEPTH_MAX = 126;

/**
 * Returns how many objects and lists a path of keys leads through: `a.b` through 2, `a[0]."b.c"` through 3. A payload
 * that is set under the path ends up that much deeper than it was sent.
 */
export function keyDepth(key: string): number {
  let depth = 1;
  let quoted = false;
  for (const character of key) {
    if (character === '"') quoted = !quoted;
    else if (!quoted && (character === '.' || character === '[')) depth++;
  }
  return depth;
}

/** Returns the nesting depth of objects and lists in valid JSON text. */
export function jsonDepth(text: string): number {
  let [depth, most, quoted] = [0, 0, false];
  for (let i = 0; i < text.length; i++) {
    const character = text[i];
    if (character === '"') quoted = !quoted;
    else if (quoted && character === '\\') i++;
    else if (quoted) continue;
    else if (character === '{' || character === '[') most = Math.max(most, ++depth);
    else if (character === '}' || character === ']') depth--;
  }
  return most;
}
