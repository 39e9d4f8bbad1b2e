import { join, relative } from 'node:path';
import ts from 'typescript';
import { allSnippets, type PageSnippet } from './doc-snippets.js';

const ROOT = process.cwd();

/** What a user imports, and the types that this leads to. */
const ENTRIES: Readonly<Record<string, string>> = {
  'qdrant-tldr': join(ROOT, 'dist/src/index.d.ts'),
  'qdrant-tldr/qdrant': join(ROOT, 'dist/adapters/qdrant/index.d.ts'),
  'qdrant-tldr/pgvector': join(ROOT, 'dist/adapters/pgvector/index.d.ts'),
  'qdrant-tldr/memory': join(ROOT, 'dist/adapters/memory/index.d.ts'),
  'qdrant-tldr/testing': join(ROOT, 'dist/src/store/testing/index.d.ts'),
};

const COMPILER: ts.CompilerOptions = {
  strict: true,
  noEmit: true,
  skipLibCheck: true,
  target: ts.ScriptTarget.ES2022,
  lib: ['lib.es2023.d.ts'],
  module: ts.ModuleKind.NodeNext,
  moduleResolution: ts.ModuleResolutionKind.NodeNext,
  types: ['node'],
  paths: Object.fromEntries(Object.entries(ENTRIES).map(([name, file]) => [name, [file]])),
};

/** Code for users: an example of a docstring or a snippet of a page. */
export interface Snippet {
  /** Where it stands, for people. */
  readonly name: string;
  readonly code: string;
  /** What must be there before it runs: in a docstring from its first line `// Given: ...`, on a page from a note. */
  readonly given: readonly string[];
}

/** An export of the package. */
export interface Export {
  readonly name: string;
  /** Whether it exists at run time; a type does not. */
  readonly isValue: boolean;
  readonly documented: boolean;
  readonly examples: readonly Snippet[];
}

function snippet(name: string, code: string): Snippet {
  const given = /^\/\/ Given: (.*)/.exec(code)?.[1]?.split(', ') ?? [];
  return { name, code, given };
}

/** Whether an export is passed on by `export type`, directly or by `export type *`, so that it is only a type. */
function isTypeOnly(symbol: ts.Symbol, entry: ts.SourceFile): boolean {
  const declaration = symbol.declarations?.[0];
  if (declaration !== undefined && ts.isExportSpecifier(declaration))
    return declaration.isTypeOnly || declaration.parent.parent.isTypeOnly;
  // An own declaration, or one of `export type *`, which has no specifier.
  return declaration?.getSourceFile() !== entry;
}

/** All exports of the package, with the examples in their docstrings. */
export function packageExports(): Export[] {
  const program = ts.createProgram(Object.values(ENTRIES), COMPILER);
  const checker = program.getTypeChecker();
  return Object.entries(ENTRIES).flatMap(([from, file]) => {
    const entry = program.getSourceFile(file);
    const module = entry && checker.getSymbolAtLocation(entry);
    if (entry === undefined || module === undefined) throw new Error(`${file} is missing: run npm run build`);
    return checker.getExportsOfModule(module).map((symbol): Export => {
      const target = symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol;
      const name = `${target.name} of ${from}`;
      const examples = target
        .getJsDocTags(checker)
        .filter((tag) => tag.name === 'example')
        .map((tag) => /```ts\n([\s\S]*?)\n```/.exec(ts.displayPartsToString(tag.text))?.[1] ?? '');
      return {
        name,
        isValue: (target.flags & ts.SymbolFlags.Value) !== 0 && !isTypeOnly(symbol, entry),
        documented: target.getDocumentationComment(checker).length > 0,
        examples: examples.map((code) => snippet(`the example of ${name}`, code)),
      };
    });
  });
}

/** The TypeScript of the pages for users. */
export function pageTypeScript(): PageSnippet[] {
  return allSnippets().filter(({ language }) => language === 'ts');
}

/** A snippet of a page as a module, with what it only mentions declared before it. */
export function compiledSnippet({ name, code, given, declared }: PageSnippet): Snippet {
  return { name, given, code: `${declared}\n${code}` };
}

/** Compiles snippets with the package's own types. @returns a line for each error */
export function compileErrors(snippets: readonly Snippet[]): string[] {
  const sources = new Map(
    snippets.map(({ code }, i) => [join(ROOT, `dist/examples/${i}.ts`), `${code}\nexport {};\n`] as const),
  );
  const host = ts.createCompilerHost(COMPILER);
  const program = ts.createProgram([...sources.keys()], COMPILER, {
    ...host,
    fileExists: (file) => sources.has(file) || host.fileExists(file),
    readFile: (file) => sources.get(file) ?? host.readFile(file),
    getSourceFile: (file, ...rest) => {
      const text = sources.get(file);
      return text === undefined
        ? host.getSourceFile(file, ...rest)
        : ts.createSourceFile(file, text, ts.ScriptTarget.ES2022, true);
    },
  });
  return ts.getPreEmitDiagnostics(program).map(({ file, start = 0, messageText }) => {
    const index = [...sources.keys()].indexOf(file?.fileName ?? '');
    const place = snippets[index]?.name ?? relative(ROOT, file?.fileName ?? '');
    const line = file?.text.slice(start).split('\n')[0] ?? '';
    return `${place}: ${ts.flattenDiagnosticMessageText(messageText, ' ')} at \`${line}\``;
  });
}
