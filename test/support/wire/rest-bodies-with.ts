import type { Described, RestDescription } from './rest-description.js';

/** A JSON value. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

/** What a walk through the description looks for, and what it writes there. */
export interface Sought {
  /** Returns the value for a type in this schema and field; undefined for types to walk on through. */
  readonly leaf: (type: Described, schema: string, field: string) => Json | undefined;
  /** Values of schemas that a request needs beside what is sought. */
  readonly plain: Readonly<Record<string, Json>>;
}

/** A body, and the way in the description that leads to the value in it. */
export interface Body {
  readonly way: string;
  readonly body: Json;
}

interface Place {
  readonly way: string;
  readonly schema: string;
  readonly field: string;
  /** Schemas around it: each at most twice, so that prefetches stand in prefetches but once. */
  readonly around: readonly string[];
}

/** Returns whether a type leads to what is sought. */
export function leadsTo(type: Described, description: RestDescription, sought: Sought): boolean {
  return bodiesWith(type, description, sought).next().done !== true;
}

/** Yields a body for each way through the description that leads from a type to what is sought. */
export function bodiesWith(
  type: Described,
  { schemas }: RestDescription,
  sought: Sought,
): Generator<Body, void> {
  const reached = new Map<string, boolean>();

  const schemaOf = (name: string): Described => {
    const found = schemas.get(name);
    if (found === undefined) throw new Error(`no schema ${name}`);
    return found;
  };

  function leads(one: Described, schema: string, field = ''): boolean {
    if (sought.leaf(one, schema, field) !== undefined) return true;
    switch (one.kind) {
      case 'object':
        return one.fields.some(({ name, type: inner }) => leads(inner, schema, name));
      case 'map':
      case 'list':
        return leads(one.of, schema, field);
      case 'one of':
        return one.forms.some((form) => leads(form, schema, field));
      case 'schema': {
        const known = reached.get(one.name);
        if (known !== undefined) return known;
        reached.set(one.name, false);
        const found = leads(schemaOf(one.name), one.name);
        reached.set(one.name, found);
        return found;
      }
      default:
        return false;
    }
  }

  function plain(one: Described, schema: string): Json {
    switch (one.kind) {
      case 'object':
        return Object.fromEntries(
          one.fields.filter(({ isRequired }) => isRequired).map((f) => [f.name, plain(f.type, schema)]),
        );
      case 'one of':
        return plain(one.forms[0] ?? { kind: 'nothing' }, schema);
      case 'schema':
        return sought.plain[one.name] ?? plain(schemaOf(one.name), one.name);
      case 'word':
        return one.word;
      default:
        return { list: [], map: {}, number: 1, string: 'a', boolean: true, nothing: null }[one.kind];
    }
  }

  function* walk(one: Described, place: Place): Generator<Body, void> {
    const { way, schema, field, around } = place;
    const leaf = sought.leaf(one, schema, field);
    if (leaf !== undefined) {
      yield { way, body: leaf };
      return;
    }
    switch (one.kind) {
      case 'object':
        for (const { name, type: inner } of one.fields) {
          if (!leads(inner, schema, name)) continue;
          const others = one.fields.filter((f) => f.isRequired && f.name !== name);
          const beside = Object.fromEntries(others.map((f) => [f.name, plain(f.type, schema)]));
          for (const { way: to, body } of walk(inner, { ...place, way: `${way}.${name}`, field: name }))
            yield { way: to, body: { ...beside, [name]: body } };
        }
        break;
      case 'list':
        for (const { way: to, body } of walk(one.of, { ...place, way: `${way}[]` }))
          yield { way: to, body: [body] };
        break;
      case 'map':
        for (const { way: to, body } of walk(one.of, { ...place, way: `${way}{}` }))
          yield { way: to, body: { '': body } };
        break;
      case 'one of':
        for (const form of one.forms) if (leads(form, schema, field)) yield* walk(form, place);
        break;
      case 'schema':
        if (!leads(one, schema) || around.filter((name) => name === one.name).length >= 2) return;
        yield* walk(schemaOf(one.name), {
          way,
          schema: one.name,
          field: '',
          around: [...around, one.name],
        });
        break;
      default:
    }
  }

  // A schema that leads back to itself is only known after a second look.
  leads(type, '');
  for (const [name, found] of reached) if (!found) reached.delete(name);
  return walk(type, { way: '', schema: '', field: '', around: [] });
}
