import { describedEnums, describedMessages } from './grpc-description.js';
import type { Described, RestDescription } from './rest-description.js';

/** A field, a form or a value of a described type. */
export interface Part {
  /** The type's name, and the part's own. */
  readonly name: string;
  /** What stands there; null for values of an enum. */
  readonly type: Described | null;
}

/** Returns every field, form and value that the REST description has. */
export function restParts({ schemas }: RestDescription): readonly Part[] {
  const parts = [...schemas].flatMap(([schema, type]) =>
    partsOf(type).map(({ name, type: of }) => ({ name: `${schema}.${name}`, type: of })),
  );
  // Forms of a schema may have fields of one name.
  return [...new Map(parts.map((part) => [part.name, part])).values()];
}

function partsOf(type: Described): readonly Part[] {
  switch (type.kind) {
    case 'object':
      return type.fields;
    case 'one of':
      return type.forms.flatMap((form) => (form.kind === 'nothing' ? [] : partsOf(form)));
    default:
      return [{ name: labelOf(type), type }];
  }
}

/** Returns the name of a form that is no field: `Filter`, `"word"`, `[number]`. */
function labelOf(type: Described): string {
  switch (type.kind) {
    case 'schema':
      return type.name;
    case 'word':
      return JSON.stringify(type.word);
    case 'list':
      return `[${labelOf(type.of)}]`;
    case 'map':
      return `{${labelOf(type.of)}}`;
    case 'one of':
      return type.forms.map(labelOf).join('|');
    case 'object':
      return type.fields.map(({ name }) => name).join('+');
    default:
      return type.kind;
  }
}

/** Returns the names of every field and enum value that the gRPC description has. */
export function grpcParts(): readonly string[] {
  return [
    ...describedMessages().flatMap((type) => type.fields.map(({ name }) => `${shortNameOf(type)}.${name}`)),
    ...describedEnums().flatMap((type) => type.values.map(({ name }) => `${shortNameOf(type)}.${name}`)),
  ];
}

/** Returns the name of a message or enum without that of the package. */
export function shortNameOf({ typeName }: { readonly typeName: string }): string {
  return typeName.replace('qdrant.', '');
}
