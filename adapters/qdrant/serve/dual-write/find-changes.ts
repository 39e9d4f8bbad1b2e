import type {
  AffectedPoints,
  Aliases,
  MirroredCollection,
  MirroredFacts,
} from '../../../../src/store/write-interceptor.js';
import type { Change, ChangeRoute, Named, PendingRewrite, Unnamed } from '../../../../src/serve/protocol.js';
import { checkMirrorable, type WrittenVector } from './check-written-vectors.js';
import { mirroredByName, notMirrored, refuseWriteToTarget } from './mirrored-names.js';
import { UPSERT, type ApiOperation, type WriteOperation } from '../operations.js';
import { Refusal } from '../rules.js';

/**
 * Decides what a request changes in mirrored collections, for both transports. REST and gRPC only read and
 * write requests, so that they cannot decide differently.
 */

/** The collections and aliases by which the names of a request are resolved. */
export interface Names {
  readonly collections: readonly MirroredCollection[];
  readonly aliases: Aliases;
}

/** A request that addresses a collection. */
export interface ChangeRequest<Request> {
  readonly operation: ApiOperation;
  /** The client's name of the collection. */
  readonly name: string;
  /** The request, as a refusal calls it. */
  readonly text: string;
  /** Returns the request by another name of its collection. */
  readonly by: (name: string) => Request;
  /** Returns a write without an effect, which only asks for permission. */
  readonly permission: (write: WriteOperation, name: string) => Request;
}

/** What both decisions need from a transport. */
export interface ChangeTransport<Request, Refused> {
  readonly answer: (refusal: Refusal) => Refused;
  /** The answer to a request that no known server has. */
  readonly unknown: Refused;
  /** A change of settings without an effect, which only asks for permission. */
  readonly settings: Request;
}

/** What a write changes. */
export interface WriteParts {
  readonly touched: AffectedPoints;
  readonly written: readonly WrittenVector[];
}

type Meaning =
  | { readonly kind: 'other' | 'unknown' }
  | { readonly kind: 'unnamed'; readonly write: WriteOperation }
  | { readonly kind: 'elsewhere'; readonly collection: string }
  | { readonly kind: 'write'; readonly write: WriteOperation; readonly mirrored: MirroredCollection }
  | { readonly kind: 'index'; readonly mirrored: MirroredFacts };

/** @throws Refusal for a change that is not mirrored */
function meaningOf<Request>(
  { operation, name, text }: ChangeRequest<Request>,
  { collections, aliases }: Names,
): Meaning {
  if (!operation.changes) return { kind: 'other' };
  if (operation.kind === 'create') {
    refuseWriteToTarget(name, collections);
    // If the collection exists already, the server says so.
    return { kind: 'other' };
  }
  const mirrored = mirroredByName(name, collections, aliases);
  if (mirrored === null) {
    if (operation.kind !== 'write') return { kind: 'other' };
    const collection = aliases.get(name);
    return collection === undefined
      ? { kind: 'unnamed', write: operation }
      : { kind: 'elsewhere', collection };
  }
  if (operation.kind === 'write') return { kind: 'write', write: operation, mirrored };
  if (operation.kind === 'index') return { kind: 'index', mirrored };
  if (operation.kind === 'unknown') return { kind: 'unknown' };
  throw notMirrored(text);
}

/** Returns the route of a request by its operation and names, before its body is read. */
export function routeOf<Request, Refused extends object>(
  request: ChangeRequest<Request>,
  names: Names,
  transport: ChangeTransport<Request, Refused>,
): ChangeRoute<Request, Refused> {
  let meaning: Meaning;
  try {
    meaning = meaningOf(request, names);
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    return {
      kind: 'refused',
      refusal: transport.answer(error),
      permission: permissionToRead(request, transport.settings),
    };
  }
  const { name, permission } = request;
  switch (meaning.kind) {
    case 'other':
      return { kind: 'other' };
    case 'unknown':
      return transport.unknown;
    case 'unnamed':
      return unnamed(request, meaning.write);
    // The server checks permissions on these itself.
    case 'elsewhere':
    case 'index':
      return { kind: 'read', permission: null };
    case 'write': {
      const { write, mirrored } = meaning;
      const alias = name === mirrored.source ? null : permission(write, name);
      return { kind: 'read', permission: { own: permission(write, mirrored.source), alias } };
    }
  }
}

/** Returns the permission that a client needs to read why the proxy refuses its request. */
function permissionToRead<Request>(
  { operation, name, permission }: ChangeRequest<Request>,
  settings: Request,
): Request {
  if (operation.kind === 'write') return permission(operation, name);
  return operation.kind === 'index' ? permission(UPSERT, name) : settings;
}

/** Returns the effect of a request on mirrored collections. @throws Refusal */
export function changeOf<Request, Refused extends object>(
  request: ChangeRequest<Request>,
  names: Names,
  transport: ChangeTransport<Request, Refused>,
  partsOf: (write: WriteOperation) => WriteParts,
): Change<Request, Refused> | PendingRewrite<Change<Request, Refused>> {
  const meaning = meaningOf(request, names);
  const { name, by } = request;
  const named = (collection: string): Named<Request> => ({ alias: name, collection, request: by(name) });
  const namedUnlessOwn = (own: string): Named<Request> | null => (name === own ? null : named(own));
  switch (meaning.kind) {
    case 'other':
      return { kind: 'other' };
    case 'unknown':
      return transport.unknown;
    case 'unnamed':
      return unnamed(request, meaning.write);
    case 'elsewhere': {
      const { collection } = meaning;
      return { kind: 'elsewhere', request: by(collection), named: named(collection) };
    }
    case 'index': {
      const { name: collection, source, target } = meaning.mirrored;
      return {
        kind: 'settings',
        collection,
        source: by(source),
        named: namedUnlessOwn(source),
        target: by(target),
      };
    }
    case 'write': {
      const { write, mirrored } = meaning;
      const { touched, written } = partsOf(write);
      const { name: collection, source: ownName } = mirrored;
      const change: Change<Request, Refused> = {
        kind: 'points',
        collection,
        touched,
        ownName,
        request: by(ownName),
        named: namedUnlessOwn(ownName),
      };
      return checkMirrorable<Change<Request, Refused>>(change, written, {
        mirrored,
        answer: transport.answer,
      });
    }
  }
}

function unnamed<Request>(
  { name, permission }: ChangeRequest<Request>,
  write: WriteOperation,
): Unnamed<Request> {
  return { kind: 'unnamed', name, permission: permission(write, name) };
}
