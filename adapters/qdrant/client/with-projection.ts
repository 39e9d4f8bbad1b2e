import { Encoder } from '../../../src/encoder/model.js';
import { expectDefined, TldrError } from '../../../src/core/errors.js';
import { checkServed, type ServeOptions } from '../../../src/store/check-served.js';
import type { ServedCollection, VectorProjector } from '../../../src/store/served.js';
import { parseJson } from '../transport/json.js';
import { strictModeSearchLimits } from '../serve/strict-mode-search-limits.js';
import { aliasesIn } from '../store/aliases.js';
import { specFromInfo } from '../store/collection-settings.js';
import { projectedApi } from './projected-api.js';
import { toText } from './json-text.js';

/** The property of the official client that holds its generated operations. All of its methods use them. */
const API = '_openApiClient';

/** The members of `QdrantClient` that are used here. The wrapped client has the type of the given one. */
export interface ProjectableClient {
  /** Before 1.14.1, this method needed a name and returned no object. */
  api(): object;
  getCollection(name: string): Promise<unknown>;
  getAliases(): Promise<unknown>;
}

/** A compact collection that a wrapped client searches in place of the original. */
export interface ProjectedCollection extends ServeOptions {
  /** The collection that `migrate` made. Default: the name that clients use. */
  readonly target?: string;
  /** The encoder that the target was made with, or the path of its file. */
  readonly encoder: VectorProjector | string;
}

/** Options of `withProjection`. */
export interface ProjectionOptions {
  /** The collections by the name that the calling code uses. */
  readonly collections: Readonly<Record<string, ProjectedCollection>>;
}

/**
 * Returns a wrapped `QdrantClient` of `@qdrant/js-client-rest`. The code that uses it keeps full vectors,
 * while its searches and writes go to compact collections, as through the proxy. The given client stays as it
 * is.
 * @throws UNSUPPORTED for another kind of client
 * @throws NOT_FOUND when a compact collection does not exist
 * @throws INVALID_ARGUMENT when no migration made a collection, or an option is out of range
 * @throws MISMATCH when a collection and its encoder do not belong together
 * @example
 * ```ts
 * // Given: Qdrant, a finished migration, enc.onnx
 * import { QdrantClient } from '@qdrant/js-client-rest';
 * import { withProjection } from 'qdrant-tldr/qdrant';
 *
 * const client = await withProjection(new QdrantClient({ url: 'http://localhost:6333' }), {
 *   collections: { docs: { target: 'docs_small', encoder: 'enc.onnx' } },
 * });
 * await client.query('docs', { query: Array.from({ length: 128 }, (_, i) => Math.sin(i)), limit: 10 });
 * ```
 */
export async function withProjection<Client extends ProjectableClient>(
  client: Client,
  { collections }: ProjectionOptions,
): Promise<Client> {
  const inner: unknown = API in client ? client.api() : undefined;
  if (typeof inner !== 'object' || inner === null) {
    throw new TldrError(
      'UNSUPPORTED',
      'the client is not a QdrantClient of @qdrant/js-client-rest 1.14.1 to 1.19: use the proxy with other clients',
    );
  }
  const asking = through(client, projectedApi(inner, []));
  const aliases = aliasesIn(parseJson(toText(await asking.getAliases())));
  const served: ServedCollection[] = [];
  for (const [name, options] of Object.entries(collections)) {
    const projector = await projectorOf(name, options);
    const target = aliases.get(options.target ?? name) ?? options.target ?? name;
    const other = served.find((one) => one.target === target);
    if (other !== undefined)
      throw new TldrError(
        'INVALID_ARGUMENT',
        `collections: "${expectDefined(other.names[0], 'the name of a served collection')}" and "${name}" are both served from ${target}: keep only one`,
      );
    const info = parseJson(toText(await collectionOf(asking, target)));
    const spec = specFromInfo(target, info, []);
    served.push(checkServed({ name, spec, aliases, projector, ...strictModeSearchLimits(spec), options }));
  }
  return through(client, projectedApi(inner, served));
}

/** Returns the client with all of its operations going through another API. */
function through<Client extends ProjectableClient>(client: Client, api: object): Client {
  return new Proxy(client, {
    get: (of, property, receiver): unknown => {
      if (property === API) return api;
      if (property === 'api') return () => api;
      return Reflect.get(of, property, receiver);
    },
  });
}

/** @throws INVALID_ARGUMENT when no encoder is given, and the errors of loading its file */
async function projectorOf(
  name: string,
  { encoder }: Partial<ProjectedCollection>,
): Promise<VectorProjector> {
  if (encoder === undefined)
    throw new TldrError(
      'INVALID_ARGUMENT',
      `collections: "${name}" needs an encoder: give one, or the path of its file`,
    );
  return typeof encoder === 'string' ? Encoder.load(encoder) : encoder;
}

/** @throws NOT_FOUND when there is no such collection, and the client's other errors */
async function collectionOf(client: ProjectableClient, target: string): Promise<unknown> {
  try {
    return await client.getCollection(target);
  } catch (cause) {
    const status = cause instanceof Error && 'status' in cause ? cause.status : undefined;
    if (status !== 404) throw cause;
    throw new TldrError('NOT_FOUND', `there is no collection ${target}: use one that a migration made`, {
      cause,
    });
  }
}
