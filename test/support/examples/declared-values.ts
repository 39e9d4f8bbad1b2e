import { QdrantClient } from '@qdrant/js-client-rest';
import { openQdrant } from '../../../adapters/qdrant/index.js';
import { vectorOf, type Addresses } from './docs-collection.js';

/** Where a snippet's own values come from: a server and a proxy, if the snippet asks for them. */
export interface ValuePlace {
  readonly server: Addresses | null;
  readonly proxyUrl: string | null;
}

function needed<T>(value: T | null, what: string): T {
  if (value === null) throw new Error(`a note before the snippet has to say that it needs ${what}`);
  return value;
}

const embeddings = {
  embedQuery: () => Promise.resolve(vectorOf(0)),
  embedDocuments: (texts: readonly string[]) => Promise.resolve(texts.map((_, i) => vectorOf(i))),
};

/** The values of names that snippets of pages only declare, such as the reader's own query vector. */
const VALUES: Readonly<Record<string, (place: ValuePlace) => unknown>> = {
  apiKey: () => 'key',
  embedding: () => vectorOf(0),
  queryVector: () => Float32Array.from(vectorOf(0)),
  store: ({ server }) => openQdrant(needed(server, 'Qdrant')),
  client: ({ proxyUrl }) => new QdrantClient({ url: needed(proxyUrl, 'a proxy'), checkCompatibility: false }),
  embeddings: () => embeddings,
  embedModel: () => ({ getTextEmbedding: embeddings.embedQuery }),
};

/** Gives each name that a snippet declares a value, as a global. @throws on a name without a value */
export async function provideDeclared(code: string, place: ValuePlace): Promise<void> {
  for (const [, name = ''] of code.matchAll(/\bdeclare (?:const|function) (\w+)/g)) {
    const value = VALUES[name];
    if (value === undefined) throw new Error(`the test has no value for ${name}, which the snippet declares`);
    Object.assign(globalThis, { [name]: await value(place) });
  }
}
