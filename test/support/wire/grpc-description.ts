import {
  create,
  type DescEnum,
  type DescField,
  type DescFile,
  type DescMessage,
  type DescService,
} from '@bufbuild/protobuf';
import {
  file_collections,
  file_common,
  file_json_with_int,
  file_points,
  file_qdrant,
  file_snapshots_service,
} from '@qdrant/js-client-grpc';
import { readFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';

const PROTOS = 'node_modules/@qdrant/js-client-grpc/dist/esm/proto';
const FILES = [
  file_collections,
  file_common,
  file_json_with_int,
  file_points,
  file_qdrant,
  file_snapshots_service,
];

/** The services of the newest gRPC interface that the proxy was checked against, as the official client describes it. */
export async function describedServices(): Promise<readonly DescService[]> {
  const others = await Promise.all(['points_service', 'collections_service'].map(fileOf));
  return [...FILES, ...others].flatMap(({ services }) => services);
}

/** Loads a description that the client uses and does not export. */
async function fileOf(name: string): Promise<DescFile> {
  const path = `${PROTOS}/${name}_pb.js`;
  readFileSync(path);
  const loaded: unknown = await import(pathToFileURL(path).href);
  const file: unknown = Reflect.get(Object(loaded), `file_${name}`);
  if (isFile(file)) return file;
  throw new Error(`${path} holds no description`);
}

function isFile(value: unknown): value is DescFile {
  return typeof value === 'object' && value !== null && 'kind' in value && value.kind === 'file';
}

/** Every message of the description, those inside others as well. */
export function describedMessages(): readonly DescMessage[] {
  const withInner = (message: DescMessage): DescMessage[] => [
    message,
    ...message.nestedMessages.flatMap(withInner),
  ];
  return FILES.flatMap(({ messages }) => messages.flatMap(withInner));
}

export function describedEnums(): readonly DescEnum[] {
  return [
    ...FILES.flatMap(({ enums }) => enums),
    ...describedMessages().flatMap(({ nestedEnums }) => nestedEnums),
  ];
}

/**
 * Returns a message for each way that leads from it to a field that is sought. A message stands at most twice in itself,
 * so that prefetches stand in prefetches but once.
 */
export function messagesWith(
  schema: DescMessage,
  sought: (field: DescField) => unknown,
): readonly { readonly way: string; readonly message: Record<string, unknown> }[] {
  const reached = new Map<DescMessage, boolean>();

  function leads(message: DescMessage): boolean {
    const known = reached.get(message);
    if (known !== undefined) return known;
    reached.set(message, false);
    const found = message.fields.some(
      (field) => sought(field) !== undefined || (field.message !== undefined && leads(field.message)),
    );
    reached.set(message, found);
    return found;
  }

  function* walk(
    message: DescMessage,
    around: readonly DescMessage[],
  ): Generator<{ way: string; message: Record<string, unknown> }> {
    const inside = [...around, message];
    for (const field of message.fields) {
      const leaf = sought(field);
      if (leaf !== undefined) yield { way: field.name, message: init(field, leaf) };
      const inner = field.message;
      if (inner === undefined || !leads(inner) || inside.filter((one) => one === inner).length >= 2) continue;
      for (const { way, message: value } of walk(inner, inside)) {
        const made = create(inner, value);
        const held = field.fieldKind === 'list' ? [made] : field.fieldKind === 'map' ? { '': made } : made;
        yield { way: `${field.name}.${way}`, message: init(field, held) };
      }
    }
  }

  leads(schema);
  for (const [message, found] of reached) if (!found) reached.delete(message);
  return [...walk(schema, [])];
}

/** Returns the initial values of a message with one field. */
function init(field: DescField, value: unknown): Record<string, unknown> {
  return field.oneof === undefined
    ? { [field.localName]: value }
    : { [field.oneof.localName]: { case: field.localName, value } };
}
