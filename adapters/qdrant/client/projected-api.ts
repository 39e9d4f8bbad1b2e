import { TldrError } from '../../../src/core/errors.js';
import {
  finished,
  type AnswerForm,
  type LookupAnswer,
  type ReadHead,
  type RestRequest,
  type RestRewriter,
  type RestRewrite,
} from '../../../src/serve/protocol.js';
import type { ServedCollection } from '../../../src/store/served.js';
import { OPERATIONS, operationFor, restRequestOf, type Operation, type Payload } from './operation-paths.js';
import { fromText, toText } from './json-text.js';
import {
  isAnswered,
  withoutRedirects,
  type ApiResponse,
  type Call as ClientCall,
} from './without-redirects.js';
import { WrappedCollections } from './wrapped-collections.js';

/** Most rounds of fetching points by id for one request. More are a bug. */
const LOOKUP_ROUNDS_MAX = 3;

type Call = ClientCall<Payload>;

/**
 * Returns the client's generated operations with every request and answer rewritten as the proxy would.
 * Operations that cannot concern a served collection stay the client's own. A collection that the caller
 * deletes is no longer served. If the caller changes a collection's settings, its limits are read again.
 */
export function projectedApi(api: object, collections: readonly ServedCollection[]): object {
  const served = new WrappedCollections(collections);
  return new Proxy(api, {
    get: (of, property, receiver): unknown => {
      const call: unknown = Reflect.get(of, property, receiver);
      if (!isCall(call) || typeof property !== 'string') return call;
      const operation = OPERATIONS.get(property);
      const sent =
        operation === undefined
          ? unknownOperation(withoutRedirects(call), property, served.rewriter)
          : (payload: Payload = {}, init?: unknown) =>
              new ProjectedCall({ api: of, served }, init).run(operation, payload);
      // Callers compare errors with `operation.Error`.
      const errorClass: unknown = Reflect.get(call, 'Error');
      return Object.assign(sent, { Error: errorClass });
    },
  });
}

/**
 * Wraps an unknown operation of a newer client. It is refused for served collections, since it may carry
 * vectors.
 */
function unknownOperation(call: Call, name: string, rewriter: RestRewriter): Call {
  return async (payload, init) => {
    const collection = payload['collection_name'];
    if (typeof collection === 'string') {
      const url = `/collections/${encodeURIComponent(collection)}`;
      if (rewriter.route(rewriter.read({ method: 'GET', url, headers: {} })).kind !== 'pass') {
        throw new TldrError(
          'UNSUPPORTED',
          `${name} is not supported on ${collection}, which is served from a compact collection`,
        );
      }
    }
    return call(payload, init);
  };
}

interface Projected {
  readonly api: object;
  readonly served: WrappedCollections;
}

/** One call of an operation: rewrites the request, sends it, and rewrites the answer for the caller. */
class ProjectedCall {
  readonly #api: object;
  readonly #served: WrappedCollections;
  readonly #init: unknown;
  #rewriter: RestRewriter;

  constructor({ api, served }: Projected, init: unknown) {
    this.#api = api;
    this.#served = served;
    this.#rewriter = served.rewriter;
    this.#init = init;
  }

  async run(operation: Operation, payload: Payload): Promise<ApiResponse> {
    await this.#readLimits();
    this.#rewriter = this.#served.rewriter;
    const { url, body } = restRequestOf(operation, payload);
    const head = this.#rewriter.read({ method: operation.method, url, headers: {} });
    const route = this.#rewriter.route(head);
    switch (route.kind) {
      case 'pass':
        return this.#client(operation.name)(payload, this.#init);
      case 'forward': {
        const request = { method: operation.method, url: route.url, body: bytesOf(body) };
        return this.#send(operation, request, route.answer);
      }
      case 'answer':
        return this.#reply(operation, route.status, route.body);
      case 'rewrite':
        return this.#rewrite(operation, head, bytesOf(body));
    }
  }

  async #rewrite(operation: Operation, head: ReadHead, body: Uint8Array): Promise<ApiResponse> {
    let lookups: LookupAnswer[] | undefined;
    for (let round = 0; round < LOOKUP_ROUNDS_MAX; round++) {
      const made = finished<RestRewrite>(this.#rewriter.begin(head, body, lookups));
      if (made.kind === 'answer') return this.#reply(operation, made.status, made.body);
      if (made.kind === 'send') return this.#send(operation, made.request, made.answer);
      lookups = await Promise.all(made.requests.map((request) => this.#lookup(request)));
    }
    throw new TldrError('INTERNAL', `${operation.name}: looking up points did not end`);
  }

  async #lookup(request: RestRequest): Promise<LookupAnswer> {
    const answer = ({ status, data }: ApiResponse): LookupAnswer => {
      const body = Buffer.from(toText(data));
      // The client reads only JSON, and has its own error for requests that may be repeated later.
      return { status, body, contentType: 'application/json', retryAfter: undefined };
    };
    try {
      return answer(await this.#request(request));
    } catch (error) {
      if (!isAnswered(error)) throw error;
      return answer(error);
    }
  }

  /** Sends a request with the client's operation for it. */
  #request({ method, url, body }: RestRequest): Promise<ApiResponse> {
    const found = operationFor(method, url);
    if (found === null) throw new TldrError('INTERNAL', `the client has no operation for ${method} ${url}`);
    const fields = body.length === 0 ? {} : fromText(Buffer.from(body).toString('utf8'));
    if (typeof fields !== 'object' || fields === null)
      throw new TldrError('INTERNAL', `${method} ${url}: the body is not a JSON object`);
    return this.#client(found.operation.name)({ ...fields, ...found.payload }, this.#init);
  }

  async #send(operation: Operation, request: RestRequest, form: AnswerForm | null): Promise<ApiResponse> {
    try {
      const response = await this.#request(request);
      if (form === null || form.errorsOnly) return response;
      if (form.form === 'deleted' && this.#rewriter.isDeleted(Buffer.from(toText(response.data))))
        this.#served.drop(form.collection);
      if (form.form === 'updated') {
        this.#served.noteChange(form.collection);
        await this.#readLimits();
      }
      return { ...response, data: this.#rewritten(form, response) };
    } catch (error) {
      if (!isAnswered(error)) throw error;
      const data = form === null ? error.data : this.#rewritten(form, error);
      // Each operation has its own error class, and callers compare with that of theirs.
      const { headers, url, status, statusText } = error;
      throw this.#error(operation, { headers, url, status, statusText, data });
    }
  }

  #readLimits(): Promise<void> {
    const reads = this.#client('getCollection');
    return this.#served.readLimits((target) => reads({ collection_name: target }, this.#init));
  }

  #rewritten(form: AnswerForm, { status, data }: ApiResponse): unknown {
    const bytes = this.#rewriter.rewriteAnswer(form, status, Buffer.from(toText(data)));
    return fromText(Buffer.from(bytes).toString('utf8'));
  }

  /** Returns an answer that was made in this process, or throws the operation's error for it. */
  #reply(operation: Operation, status: number, body: string): ApiResponse {
    const ok = status < 400;
    const statusText = ok ? 'OK' : (STATUS_TEXTS[status] ?? 'Error');
    const response = { headers: new Headers(), url: '', ok, status, statusText, data: fromText(body) };
    if (ok) return response;
    throw this.#error(operation, response);
  }

  #error(operation: Operation, response: object): Error {
    const call: unknown = Reflect.get(this.#api, operation.name);
    const kind: unknown = isCall(call) ? Reflect.get(call, 'Error') : undefined;
    if (typeof kind !== 'function') return new TldrError('INTERNAL', `${operation.name} has no error class`);
    const error: unknown = Reflect.construct(kind, [response]);
    return error instanceof Error ? error : new TldrError('INTERNAL', `${operation.name} failed`);
  }

  #client(name: string): Call {
    const call: unknown = Reflect.get(this.#api, name);
    if (!isCall(call)) {
      throw new TldrError(
        'UNSUPPORTED',
        `the installed client lacks the operation ${name}: use @qdrant/js-client-rest 1.14.1 or newer`,
      );
    }
    return withoutRedirects(call);
  }
}

const STATUS_TEXTS: Readonly<Record<number, string>> = {
  400: 'Bad Request',
  404: 'Not Found',
  409: 'Conflict',
};

function bytesOf(body: Payload | null): Uint8Array {
  return body === null ? new Uint8Array(0) : Buffer.from(toText(body));
}

function isCall(value: unknown): value is Call {
  return typeof value === 'function';
}
