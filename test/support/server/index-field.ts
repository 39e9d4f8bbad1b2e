import { fetchAgain } from './fetch-once.js';

/** Indexes a payload field of a collection. */
export async function indexField(
  { url }: { readonly url: string },
  collection: string,
  { field, schema }: { readonly field: string; readonly schema: string },
): Promise<void> {
  const response = await fetchAgain(`${url}/collections/${collection}/index?wait=true`, {
    method: 'PUT',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ field_name: field, field_schema: schema }),
  });
  if (!response.ok) throw new Error(`no index of ${field}: ${response.status} ${await response.text()}`);
}
