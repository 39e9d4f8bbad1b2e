import { Encoder } from '../../../src/encoder/model.js';
import { TldrError } from '../../../src/core/errors.js';
import { checkServed, type ServeOptions } from '../../../src/store/check-served.js';
import type { ServedCollection, VectorProjector } from '../../../src/store/served.js';
import { listAt, parseJson, textAt } from '../transport/json.js';
import { requestLimits } from '../serve/request-limits.js';
import { specFromInfo } from '../store/settings.js';
import { projectedApi } from './projected-api.js';
import { toText } from './values.js';

/** Where the official client keeps its generated operations; its methods all go through them. */
const API = '_openApiClient';

/** What is used of `QdrantClient`; the wrapped one is typed as the given one. */
export interface ProjectableClient {
  /** Before 1.14.1 it needed a name, and gave no object. */
  api(): object;
  getCollection(name: string): Promise<unknown>;
  getAliases(): Promise<unknown>;
}

export interface ProjectedCollection extends ServeOptions {
  /** The collection that `migrate` made; where absent the name that clients use. */
  readonly target?: string;
  /** The encoder it was made with, or its file. */
  readonly encoder: VectorProjector | string;
}

export interface ProjectionOptions {
  /** By the name that the code uses. */
  readonly collections: Readonly<Record<string, ProjectedCollection>>;
}

/**
 * Wraps a `QdrantClient` of `@qdrant/js-client-rest`: the code that uses it keeps full-size vectors while its searches
 * and writes go to compact collections, as they would through the proxy. The given client stays as it is.
 * @throws UNSUPPORTED for another kind of client
 * @throws NOT_FOUND, INVALID_ARGUMENT, MISMATCH where a collection and its encoder do not belong together
 */
export async function withProjection<Client extends ProjectableClient>(
  client: Client,
  { collections }: ProjectionOptions,
): Promise<Client> {
  const inner: unknown = API in client ? client.api() : undefined;
  if (typeof inner !== 'object' || inner === null) {
    throw new TldrError(
      'UNSUPPORTED',
      'this is no QdrantClient of @qdrant/js-client-rest 1.14.1 to 1.18: use the proxy (`qdrant-tldr serve`) with other clients',
    );
  }
  const asking = through(client, projectedApi(inner, []));
  const aliases = aliasesOf(await asking.getAliases());
  const served: ServedCollection[] = [];
  for (const [name, options] of Object.entries(collections)) {
    const projector = await projectorOf(name, options);
    const target = aliases.get(options.target ?? name) ?? options.target ?? name;
    const other = served.find((one) => one.target === target);
    if (other !== undefined)
      throw new TldrError(
        'INVALID_ARGUMENT',
        `collections: "${other.names[0] ?? ''}" and "${name}" are both served from ${target}: give it one name`,
      );
    const info = parseJson(toText(await collectionOf(asking, target)));
    const spec = specFromInfo(target, info, []);
    served.push(checkServed({ name, spec, aliases, projector, ...requestLimits(spec), options }));
  }
  return through(client, projectedApi(inner, served));
}

/** The client with all of its operations going through another API. */
function through<Client extends ProjectableClient>(client: Client, api: object): Client {
  return new Proxy(client, {
    get: (of, property, receiver): unknown => {
      if (property === API) return api;
      if (property === 'api') return () => api;
      return Reflect.get(of, property, receiver);
    },
  });
}

/** @throws INVALID_ARGUMENT for none, and what loading a file throws */
async function projectorOf(
  name: string,
  { encoder }: Partial<ProjectedCollection>,
): Promise<VectorProjector> {
  if (encoder === undefined)
    throw new TldrError('INVALID_ARGUMENT', `collections: "${name}" needs an encoder: one, or its file`);
  return typeof encoder === 'string' ? Encoder.load(encoder) : encoder;
}

/** @throws NOT_FOUND, and what the client throws for anything else */
async function collectionOf(client: ProjectableClient, target: string): Promise<unknown> {
  try {
    return await client.getCollection(target);
  } catch (cause) {
    const status = cause instanceof Error && 'status' in cause ? cause.status : undefined;
    if (status !== 404) throw cause;
    throw new TldrError('NOT_FOUND', `there is no collection ${target}: serve one that \`migrate\` made`, {
      cause,
    });
  }
}

function aliasesOf(answer: unknown): ReadonlyMap<string, string> {
  const entries = listAt(parseJson(toText(answer)), 'aliases');
  return new Map(
    entries.map((entry) => [textAt(entry, 'alias_name') ?? '', textAt(entry, 'collection_name') ?? '']),
  );
}
