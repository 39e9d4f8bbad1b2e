import { fetchAgain } from './fetch-once.js';

/** Sends JSON text to a server and returns the text of its answer, every number as it was written. @throws for a failure */
export async function restText(
  { url }: { readonly url: string },
  method: string,
  path: string,
  body?: string,
): Promise<string> {
  const response = await fetchAgain(url + path, {
    method,
    headers: { 'content-type': 'application/json' },
    ...(body === undefined ? {} : { body }),
  });
  const text = await response.text();
  if (!response.ok) throw new Error(`${method} ${path}: ${text}`);
  return text;
}
