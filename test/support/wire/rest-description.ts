import { readFileSync } from 'node:fs';
import ts from 'typescript';

/** The newest REST interface that the proxy was checked against, as the official client describes it. */
const FILE = 'node_modules/js-client-rest-newest/dist/types/openapi/generated_schema.d.ts';

/** A type of the description: its fields, its other forms, or a value. */
export type Described =
  | { readonly kind: 'object'; readonly fields: readonly DescribedField[] }
  | { readonly kind: 'map' | 'list'; readonly of: Described }
  | { readonly kind: 'one of'; readonly forms: readonly Described[] }
  | { readonly kind: 'schema'; readonly name: string }
  | { readonly kind: 'word'; readonly word: string }
  | { readonly kind: 'number' | 'string' | 'boolean' | 'nothing' };

export interface DescribedField {
  readonly name: string;
  readonly isRequired: boolean;
  readonly type: Described;
}

export interface DescribedEndpoint {
  readonly method: string;
  readonly path: string;
  /** The request's JSON body; null if it has none. */
  readonly body: Described | null;
}

export interface RestDescription {
  readonly schemas: ReadonlyMap<string, Described>;
  readonly endpoints: readonly DescribedEndpoint[];
}

/** Reads the description with the TypeScript compiler. It throws for any form that it does not know. */
export function readRestDescription(): RestDescription {
  const file = ts.createSourceFile(FILE, readFileSync(FILE, 'utf8'), ts.ScriptTarget.Latest, true);
  const membersOf = (name: string): readonly ts.TypeElement[] => {
    const found = file.statements.find((one) => ts.isInterfaceDeclaration(one) && one.name.text === name);
    if (found === undefined || !ts.isInterfaceDeclaration(found)) throw new Error(`no ${name} in ${FILE}`);
    return found.members;
  };
  const operations = new Map(membersOf('operations').map((member) => [nameOf(member), typeOf(member)]));
  const schemas = literal(memberAt(membersOf('components'), 'schemas')).members;
  return {
    schemas: new Map(schemas.map((member) => [nameOf(member), described(typeOf(member))])),
    endpoints: membersOf('paths').flatMap((member) =>
      literal(typeOf(member)).members.map((method) => ({
        method: nameOf(method).toUpperCase(),
        path: nameOf(member),
        body: bodyOf(operations.get(referenceOf(typeOf(method)).name)),
      })),
    ),
  };
}

/** Returns the JSON body of an operation: `requestBody?.content["application/json"]`. */
function bodyOf(operation: ts.TypeNode | undefined): Described | null {
  if (operation === undefined) throw new Error('a path without its operation');
  const request = memberNamed(literal(operation).members, 'requestBody');
  if (request === undefined) return null;
  const content = literal(memberAt(literal(typeOf(request)).members, 'content')).members;
  const json = memberNamed(content, 'application/json');
  return json === undefined ? null : described(typeOf(json));
}

function described(node: ts.TypeNode): Described {
  if (ts.isParenthesizedTypeNode(node)) return described(node.type);
  if (ts.isUnionTypeNode(node)) return { kind: 'one of', forms: node.types.map(described) };
  if (ts.isArrayTypeNode(node)) return { kind: 'list', of: described(node.elementType) };
  if (ts.isTypeLiteralNode(node)) return objectOf(node);
  if (ts.isIndexedAccessTypeNode(node)) return { kind: 'schema', name: referenceOf(node).name };
  if (ts.isLiteralTypeNode(node)) {
    if (node.literal.kind === ts.SyntaxKind.NullKeyword) return { kind: 'nothing' };
    if (ts.isStringLiteral(node.literal)) return { kind: 'word', word: node.literal.text };
  }
  // The client's generator writes "or null" and "any JSON" as a record.
  if (ts.isTypeReferenceNode(node)) {
    if (node.typeName.getText() === 'Record') return { kind: 'nothing' };
    const [first] = node.typeArguments ?? [];
    if (node.typeName.getText() === 'OneOf' && first !== undefined && ts.isTupleTypeNode(first))
      return { kind: 'one of', forms: first.elements.map(described) };
  }
  switch (node.kind) {
    case ts.SyntaxKind.NumberKeyword:
      return { kind: 'number' };
    case ts.SyntaxKind.StringKeyword:
      return { kind: 'string' };
    case ts.SyntaxKind.BooleanKeyword:
      return { kind: 'boolean' };
    case ts.SyntaxKind.UnknownKeyword:
    case ts.SyntaxKind.UndefinedKeyword:
    case ts.SyntaxKind.NeverKeyword:
      return { kind: 'nothing' };
    default:
      throw new Error(`the description has an unknown form: ${node.getText().slice(0, 100)}`);
  }
}

function objectOf(node: ts.TypeLiteralNode): Described {
  const [first] = node.members;
  if (first !== undefined && ts.isIndexSignatureDeclaration(first))
    return { kind: 'map', of: described(first.type) };
  return {
    kind: 'object',
    fields: node.members.map((member) => ({
      name: nameOf(member),
      isRequired: member.questionToken === undefined,
      type: described(typeOf(member)),
    })),
  };
}

/** Returns the last name in `components["schemas"]["Filter"]`. */
function referenceOf(node: ts.TypeNode): { readonly name: string } {
  if (ts.isIndexedAccessTypeNode(node) && ts.isLiteralTypeNode(node.indexType)) {
    const { literal: name } = node.indexType;
    if (ts.isStringLiteral(name)) return { name: name.text };
  }
  throw new Error(`the description has no reference at ${node.getText().slice(0, 100)}`);
}

function literal(node: ts.TypeNode): ts.TypeLiteralNode {
  if (!ts.isTypeLiteralNode(node)) throw new Error(`no object at ${node.getText().slice(0, 100)}`);
  return node;
}

function memberNamed(members: readonly ts.TypeElement[], name: string): ts.TypeElement | undefined {
  return members.find((member) => nameOf(member) === name);
}

function memberAt(members: readonly ts.TypeElement[], name: string): ts.TypeNode {
  const found = memberNamed(members, name);
  if (found === undefined) throw new Error(`the description lacks ${name}`);
  return typeOf(found);
}

function nameOf({ name }: ts.TypeElement): string {
  if (name === undefined) return '';
  if (ts.isIdentifier(name) || ts.isStringLiteral(name) || ts.isNumericLiteral(name)) return name.text;
  throw new Error(`the description has an unknown name: ${name.getText()}`);
}

function typeOf(member: ts.TypeElement): ts.TypeNode {
  if (ts.isPropertySignature(member) && member.type !== undefined) return member.type;
  throw new Error(`the description has an unknown member: ${member.getText().slice(0, 100)}`);
}
