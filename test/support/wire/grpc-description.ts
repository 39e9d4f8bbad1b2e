import {
  create,
  type DescEnum,
  type DescField,
  type DescFile,
  type DescMessage,
  type DescService,
} from '@bufbuild/protobuf';
import { readFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';

const PROTOS = 'node_modules/@qdrant/js-client-grpc/dist/esm/proto';
const SERVICES = ['points_service', 'collections_service', 'snapshots_service', 'qdrant'];
/**
 * The newest gRPC interface that the proxy was checked against, as the official client describes it: the files of its
 * services, and those that they use. The package holds older ones beside them.
 */
const FILES = withUsed(await filesOf(SERVICES));

async function filesOf(names: readonly string[]): Promise<readonly DescFile[]> {
  const files: DescFile[] = [];
  // Jest cannot load modules that use each other at the same time.
  for (const name of names) files.push(await fileOf(name));
  return files;
}

/** Loads a description, which the client may use and not export. */
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

/** Returns these files and Qdrant's among those that they use, each once. */
function withUsed(files: readonly DescFile[]): readonly DescFile[] {
  const found = new Set<DescFile>();
  const visit = (file: DescFile): void => {
    if (found.has(file) || file.proto.package !== 'qdrant') return;
    found.add(file);
    file.dependencies.forEach(visit);
  };
  files.forEach(visit);
  return [...found];
}

export function describedServices(): readonly DescService[] {
  return FILES.flatMap(({ services }) => services);
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
