import { expectDefined } from '../../../../src/core/errors.js';
import type { ServedCollection } from '../../../../src/store/served.js';
import type { AnswerForm, CallStatus, GrpcCall, GrpcRewrite } from '../../../../src/serve/protocol.js';
import { impossibleSetting, withoutSetting } from '../settings/probe-creation-errors.js';
import { rewriteUpdate } from './update-collection.js';
import { physicalName } from './stage.js';
import { ProtoMessage } from '../protobuf/message.js';
import { edited, ProtoBuilder } from '../protobuf/builder.js';
import type { CollectionKind } from '../operations.js';
import {
  existing,
  findServed,
  isHiddenTarget,
  Refusal,
  refuseTarget,
  refuseUncovering,
  treatDeletion,
} from '../rules.js';

/** CollectionExistsResponse with CollectionExists 1, whose field exists 1 is false and therefore absent. */
const DOES_NOT_EXIST = new ProtoBuilder().bytes(1, new Uint8Array(0)).finish();

const GET = '/qdrant.Collections/Get';

/** Lookups before a deletion: all collections and all aliases. */
const STANDING: readonly GrpcCall[] = ['List', 'ListAliases'].map((method) => ({
  path: `/qdrant.Collections/${method}`,
  message: new Uint8Array(0),
}));

interface CollectionCall {
  readonly path: string;
  readonly message: ProtoMessage;
  readonly collections: readonly ServedCollection[];
  /** Answers to `STANDING`; undefined before the lookups. */
  readonly lookups: readonly Uint8Array[] | undefined;
}

/** Rewrites requests about collections, not their points. @throws Refusal */
export function rewriteCollections(kind: CollectionKind, call: CollectionCall): GrpcRewrite {
  const { message, collections } = call;
  if (kind === 'list collections' || kind === 'list aliases')
    return send(call, { form: 'list', collection: '', errorsOnly: false });
  if (kind === 'change aliases') return changeAliases(call);
  const name = message.textOrEmpty(1);
  const served = findServed(name, collections);
  if (kind === 'create') return create(call, name);
  if (served === null) {
    if (kind === 'exists' && isHiddenTarget(name, collections))
      return { kind: 'reply', message: DOES_NOT_EXIST };
    refuseTarget(name, collections);
    return { kind: 'pass' };
  }
  if (kind === 'delete') {
    const treatment = treatDeletion(name, served);
    if (treatment === 'pass') return { kind: 'pass' };
    if (treatment === 'check') {
      if (call.lookups === undefined)
        return {
          kind: 'lookup',
          calls: STANDING,
          answer: { form: 'lookup', collection: name, errorsOnly: true },
        };
      checkDeletion(name, served, call.lookups);
    }
  }
  if (kind === 'update') return update(call, name, served);
  return send(call, { form: FORMS[kind], collection: name, errorsOnly: kind === 'exists' });
}

function update(call: CollectionCall, name: string, served: ServedCollection): GrpcRewrite {
  const answer = { form: 'updated', collection: name, errorsOnly: false };
  const patched = rewriteUpdate(call.message, served, call.lookups?.[0]);
  if (patched.kind === 'message')
    return send({ ...call, message: new ProtoMessage(patched.message) }, answer);
  const description = { path: GET, message: new ProtoBuilder().text(1, served.target).finish() };
  return { kind: 'lookup', calls: [description], answer };
}

/**
 * ListCollectionsResponse: CollectionDescription 1 of name 1. ListAliasesResponse: AliasDescription 1 of alias_name 1
 * and collection_name 2.
 * @throws Refusal when the deletion would uncover another collection of the same name
 */
function checkDeletion(name: string, served: ServedCollection, lookups: readonly Uint8Array[]): void {
  const entriesOf = (i: number): ProtoMessage[] =>
    new ProtoMessage(expectDefined(lookups[i], 'an answer about names'))
      .all(1)
      .map((entry) => new ProtoMessage(entry));
  refuseUncovering(name, served, {
    collections: entriesOf(0).map((entry) => entry.textOrEmpty(1)),
    aliases: new Map(entriesOf(1).map((entry) => [entry.textOrEmpty(1), entry.textOrEmpty(2)])),
  });
}

/** Forms of the answers. On `deleted` and `updated`, the proxy forgets the collection or reads it again. */
const FORMS = { info: 'info', aliases: 'list', delete: 'deleted', exists: 'error' } as const;

function send(
  { path, message, collections }: CollectionCall,
  answer: { readonly form: string; readonly collection: string; readonly errorsOnly: boolean },
): GrpcRewrite {
  const body = edited(message, new Map([[1, physicalName({ collections })]]));
  return { kind: 'send', call: { path, message: body.finish() }, answer, projected: 0, search: false };
}

/** CreateCollection: collection_name 1, and up to 1.15 init_from_collection 13, which would copy compact vectors. */
function create({ path, message, collections }: Omit<CollectionCall, 'lookups'>, name: string): GrpcRewrite {
  const taken = (one: string): boolean =>
    collections.some(({ names, target }) => names.includes(one) || target === one);
  if (findServed(name, collections) !== null) return createAgain({ path, message, collections }, name);
  if (taken(name)) throw existing(name);
  const copied = message.text(13);
  if (copied !== null && taken(copied))
    throw new Refusal(400, 'Bad request: a served collection cannot be copied');
  return { kind: 'pass' };
}

const CREATE_AGAIN = 'create again, with an impossible ';

/** Sends a creation that cannot succeed, to learn which of the settings the server would refuse. */
function createAgain(
  { path, message, collections }: Omit<CollectionCall, 'lookups'>,
  name: string,
): GrpcRewrite {
  // A number of 32 bits: the server drops the upper ones.
  const setting = impossibleSetting(({ field }) => {
    const value = message.varint(field);
    return value === null ? null : BigInt.asUintN(32, value);
  });
  const body = edited(message, new Map([[1, physicalName({ collections })]]));
  // The last value of a field counts.
  if (setting !== null) body.varint(setting.field, 0);
  const answer = { form: CREATE_AGAIN + (setting?.name ?? ''), collection: name, errorsOnly: true };
  return { kind: 'send', call: { path, message: body.finish() }, answer, projected: 0, search: false };
}

/** Returns the status for creating an existing collection; any other status unchanged. */
export function createdStatus({ form, collection }: AnswerForm, status: CallStatus): CallStatus {
  if (!form.startsWith(CREATE_AGAIN)) return status;
  const message = withoutSetting(status.message, form.slice(CREATE_AGAIN.length));
  if (message !== null) return { ...status, message };
  const { grpcCode: code, message: taken } = existing(collection);
  return { code, message: taken };
}

/**
 * Rewrites ChangeAliases: actions 1, each create_alias 1, rename_alias 2 or delete_alias 3 with names 1 and
 * 2.
 */
function changeAliases({ message, collections }: CollectionCall): GrpcRewrite {
  const ours = new Set(collections.flatMap(({ names, target }) => [...names, target]));
  for (const action of message.all(1))
    for (const field of [1, 2, 3])
      for (const change of new ProtoMessage(action).all(field)) {
        const names = new ProtoMessage(change);
        for (const name of [names.text(1), names.text(2)])
          if (name !== null && ours.has(name))
            throw new Refusal(
              400,
              `Bad request: aliases of served collection "${name}" cannot be changed here`,
            );
      }
  return { kind: 'pass' };
}
