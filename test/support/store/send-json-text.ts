import { fetchOnce } from '../server/fetch-once.js';

/** JSON text of an object whose keys are written as they are: a literal's `__proto__` would be no key. */
export function objectText(entries: readonly (readonly [string, unknown])[]): string {
  const texts = entries.map(
    ([key, value]) => `${JSON.stringify(key)}:${typeof value === 'string' ? value : JSON.stringify(value)}`,
  );
  return `{${texts.join()}}`;
}

/** Sends a request and returns the body of its answer without times and versions. @throws for a failure */
export async function ask(base: string, method: string, path: string, body: string | null): Promise<string> {
  const { status, text } = await answerTo(base, method, path, body);
  if (status !== 200) throw new Error(`${method} ${path}: ${status} ${text}`);
  return text;
}

/** Sends a request and returns its answer without times and versions. */
export async function answerTo(
  base: string,
  method: string,
  path: string,
  body: string | null,
): Promise<{ readonly status: number; readonly text: string }> {
  const response = await fetchOnce(base + path, {
    method,
    headers: { 'content-type': 'application/json' },
    ...(body === null ? {} : { body }),
  });
  // Versions number the operations of a collection, and a copy took another number of them.
  const text = (await response.text())
    .replace(/,"(time|version)":[^,}]*/g, '')
    .replace(/"operation_id":\d+/g, '"operation_id":0');
  return { status: response.status, text };
}

/** Points in the server's order of a map's entries, which is none: every level sorted. */
export function sorted(text: string): unknown {
  const order = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(order);
    if (typeof value !== 'object' || value === null) return value;
    return Object.entries(value)
      .map(([key, inner]) => [key, order(inner)])
      .sort(([a], [b]) => (String(a) < String(b) ? -1 : 1));
  };
  return order(JSON.parse(text));
}
