import { describe, expect, test } from '@jest/globals';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve, sep } from 'node:path';
import ts from 'typescript';

const ROOT = process.cwd();
const FILE_LINES_MAX = 400;
const FUNCTION_LINES_MAX = 70;

const FOLDER_FILES_MAX = 20;

/** The files of the product that import adapters; commands other than `serve` do not load the second. */
const ADAPTERS: readonly string[] = ['src/cli/adapters.ts', 'src/cli/proxy-adapter.ts'];

/**
 * Folders of src in rows: a folder may import those of the rows above its own. `core` and `hyper-parameters` import nothing. `serve` and
 * `migrate` stand in different rows and still never import each other; nor does anything else import `serve`.
 */
const ROWS: readonly (readonly string[])[] = [
  ['core', 'hyper-parameters'],
  ['encoder', 'store', 'report'],
  ['knn', 'baselines', 'files', 'serve', 'config'],
  ['train', 'evaluate', 'migrate'],
  ['select'],
  ['plan'],
];

/** What narrows the rows: folders whose imports are listed one by one. */
const ALLOWED: Readonly<Record<string, readonly string[]>> = {
  config: ['core', 'store'],
  serve: ['core', 'store'],
  migrate: ['core', 'encoder', 'store'],
  train: ['core', 'hyper-parameters', 'encoder', 'knn'],
  evaluate: ['core', 'encoder', 'store', 'knn', 'baselines'],
};

/** Folders of src/migrate in rows, as above. */
const MIGRATE_ROWS: readonly (readonly string[])[] = [
  ['throttle'],
  ['state'],
  ['plan'],
  ['points'],
  ['copy', 'verify', 'dual-write'],
  ['catch-up'],
  ['cutover', 'run', 'in-place'],
];

/**
 * Where `unref` is called, how often, and why nothing waits there alone: Node ends without a word once all that is left
 * to wait for is unref'd.
 */
const UNREF: Readonly<Record<string, readonly [number, string]>> = {
  'src/serve/grpc/upstream.ts': [
    4,
    'the connection of a proxy, which its listeners keep running, and its probes',
  ],
  'src/serve/rewrite-threads.ts': [
    1,
    'a thread that waits for work, in a proxy that its listeners keep running',
  ],
  'src/serve/run/start-proxy.ts': [
    1,
    'the longest wait for requests under way, which keep the process running',
  ],
  'src/migrate/state/with-lock.ts': [1, 'looks after a lock beside the work that holds it'],
  'src/migrate/state/lease.ts': [1, 'renews a lease beside the work that holds it'],
  'src/serve/drift-meter.ts': [1, 'compares vectors beside the listeners, and once more at the end'],
  'src/serve/drift-report.ts': [1, 'logs shares beside the listeners, and once more at the end'],
  'src/cli/serve/recorded-queries.ts': [
    1,
    'writes a sample of queries beside the listeners, and once more at the end',
  ],
  'src/cli/serve/searched-batches.ts': [
    1,
    'sends a sample of queries beside the listeners, and once more at the end',
  ],
  'src/cli/serve/migrating-collections.ts': [1, 'reads aliases beside the listeners'],
  'adapters/qdrant/transport/grpc.ts': [2, 'a connection without a call: each call refs it, and has a timer'],
};

/** The two names of the vendor that configuration must know: the variables people already have set. */
const VENDOR_ALLOWED = /qdrant-tldr|QDRANT_TLDR|QDRANT_URL|QDRANT_API_KEY|\.qdrant-tldr/g;

/** The text of a file without the examples in its docstrings, which show a user's code. */
function withoutExamples(file: string): string {
  return readFileSync(join(ROOT, file), 'utf8').replace(/^ *\* @example\n[\s\S]*?(?=\*\/)/gm, '');
}

function sourceFiles(folder: string): string[] {
  if (!existsSync(join(ROOT, folder))) return [];
  return readdirSync(join(ROOT, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
    .map((entry) => relative(ROOT, join(entry.parentPath, entry.name)));
}

const parsed = new Map<string, ts.SourceFile>();

/** Returns the syntax of a file, which is read and parsed once for all tests. */
function parse(file: string): ts.SourceFile {
  const known = parsed.get(file);
  if (known !== undefined) return known;
  const text = readFileSync(join(ROOT, file), 'utf8');
  const source = ts.createSourceFile(file, text, ts.ScriptTarget.ES2022, true);
  parsed.set(file, source);
  return source;
}

/** Files imported by a file (static, re-export and dynamic with a literal), relative to the root. */
function localImports(file: string): string[] {
  const found: string[] = [];
  const visit = (node: ts.Node): void => {
    const specifier =
      ts.isImportDeclaration(node) || ts.isExportDeclaration(node)
        ? node.moduleSpecifier
        : ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword
          ? node.arguments[0]
          : ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument)
            ? node.argument.literal
            : undefined;
    if (specifier !== undefined && ts.isStringLiteral(specifier) && specifier.text.startsWith('.')) {
      const target = resolve(ROOT, dirname(file), specifier.text.replace(/\.js$/, '.ts'));
      found.push(relative(ROOT, target));
    }
    ts.forEachChild(node, visit);
  };
  visit(parse(file));
  return found;
}

/** What a file loads together with itself: neither types nor what it imports later. */
function loadedAtOnce(file: string): string[] {
  return parse(file).statements.flatMap((statement) => {
    if (!ts.isImportDeclaration(statement) && !ts.isExportDeclaration(statement)) return [];
    const { moduleSpecifier } = statement;
    if (moduleSpecifier === undefined || !ts.isStringLiteral(moduleSpecifier)) return [];
    const isType = ts.isImportDeclaration(statement)
      ? statement.importClause?.phaseModifier === ts.SyntaxKind.TypeKeyword
      : statement.isTypeOnly;
    return isType ? [] : [moduleSpecifier.text];
  });
}

/** The names that a file declares and exports; what it passes on from another file is not among them. */
function exportedNames(file: string): string[] {
  return parse(file).statements.flatMap((statement) => {
    const modifiers = ts.canHaveModifiers(statement) ? (ts.getModifiers(statement) ?? []) : [];
    if (!modifiers.some(({ kind }) => kind === ts.SyntaxKind.ExportKeyword)) return [];
    if (ts.isVariableStatement(statement))
      return statement.declarationList.declarations.map(({ name }) => name.getText());
    if ('name' in statement && statement.name !== undefined) return [(statement.name as ts.Identifier).text];
    return [];
  });
}

/** `src/core/matrix.ts` is in zone `core`, `src/index.ts` in `index`, `adapters/memory/x.ts` in `adapters/memory`. */
function zoneOf(file: string): string {
  const [top, second] = file.split(sep);
  if (top === 'src') return (second ?? '').replace(/\.ts$/, '');
  return top === 'adapters' ? `adapters/${second ?? ''}` : (top ?? '');
}

function rowOf(rows: readonly (readonly string[])[], folder: string): number {
  const row = rows.findIndex((names) => names.includes(folder));
  if (row < 0) throw new Error(`the folder ${folder} is in no row of test/tidy.test.ts`);
  return row;
}

/** Whether a file may import another of another zone. */
function mayImportZone(file: string, target: string): boolean {
  const [from, to] = [zoneOf(file), zoneOf(target)];
  if (to.startsWith('adapters/')) return ADAPTERS.includes(file);
  if (to === 'cli' || to === 'index') return false;
  if (from === 'cli' || from === 'index') return true;
  if (from.startsWith('adapters/'))
    return ['core', 'encoder', 'store'].includes(to) || target === 'src/serve/protocol.ts';
  const allowed = ALLOWED[from];
  return allowed === undefined ? rowOf(ROWS, to) < rowOf(ROWS, from) : allowed.includes(to);
}

/** Whether a file of src/migrate may import another of it. */
function mayImportInMigrate(file: string, target: string): boolean {
  const [from, to] = [file, target].map((path) => path.split(sep)[2] ?? '');
  return from === to || rowOf(MIGRATE_ROWS, to ?? '') < rowOf(MIGRATE_ROWS, from ?? '');
}

function mayImport(file: string, target: string): boolean {
  if (zoneOf(file) !== zoneOf(target)) return mayImportZone(file, target);
  return zoneOf(file) !== 'migrate' || mayImportInMigrate(file, target);
}

/** The cycles of a graph, each as the way round it. */
function cyclesOf(graph: ReadonlyMap<string, Iterable<string>>): string[] {
  const cycles: string[] = [];
  const done = new Set<string>();
  const walk = (node: string, path: readonly string[]): void => {
    if (path.includes(node)) {
      cycles.push([...path.slice(path.indexOf(node)), node].join(' -> '));
      return;
    }
    if (done.has(node)) return;
    for (const next of graph.get(node) ?? []) walk(next, [...path, node]);
    done.add(node);
  };
  for (const node of graph.keys()) walk(node, []);
  return cycles;
}

/** Its custom properties look like flags. */
const STYLE_SHEET = join('src', 'report', 'style.ts');

/** A flag, but not a use of a custom property of CSS; or a command in backticks or after the program's name. */
const FLAG_OR_COMMAND =
  /(?<![\w-]|var\()--[a-z][a-z-]+|(`|qdrant-tldr )(migrate|serve|train|plan|evaluate|search|project|inspect|demo|config)\b/;

/** The texts of a file: strings and the fixed parts of templates, without comments. */
function texts(source: ts.Node): string[] {
  if (ts.isStringLiteralLike(source) || ts.isTemplateHead(source)) return [source.text];
  if (ts.isTemplateMiddle(source) || ts.isTemplateTail(source)) return [source.text];
  const inside: string[] = [];
  ts.forEachChild(source, (child) => void inside.push(...texts(child)));
  return inside;
}

/** `fetch`, also as `globalThis.fetch`. */
function isFetch(called: ts.Expression): boolean {
  if (ts.isPropertyAccessExpression(called))
    return called.name.text === 'fetch' && called.expression.getText() === 'globalThis';
  return ts.isIdentifier(called) && called.text === 'fetch';
}

/** A prober that keeps its connections to anything but the proxy under test: a real server closes them as it likes. */
function keepsServerConnections({ expression, arguments: given }: ts.NewExpression): boolean {
  const [url, options] = (given ?? []).map((argument) => argument.getText());
  if (expression.getText() !== 'HttpProber' || url === 'proxy.url') return false;
  return options === undefined || !options.includes('keepAlive: false');
}

/** Whether a call defines a test or a hook with a time limit as its last argument, or sets the limit of all. */
function hasTimeLimit(call: ts.CallExpression): boolean {
  if (/^jest\.setTimeout$/.test(call.expression.getText())) return true;
  let called: ts.Expression = call.expression;
  while (ts.isCallExpression(called) || ts.isPropertyAccessExpression(called)) called = called.expression;
  if (!ts.isIdentifier(called)) return false;
  if (/^(before|after)(All|Each)$/.test(called.text)) return call.arguments.length > 1;
  return /^(test|it)([A-Z]\w*)?$/.test(called.text) && call.arguments.length > 2;
}

const product = [...sourceFiles('src'), ...sourceFiles('adapters')];
if (product.length === 0) throw new Error('no source files found: run the tests from the repository root');

describe('the house rules', () => {
  test('imports go in the allowed direction only', () => {
    const wrong = product.flatMap((file) =>
      localImports(file)
        .filter((target) => !mayImport(file, target))
        .map((target) => `${file} imports ${target}`),
    );
    expect(wrong).toEqual([]);
  });

  test('imports have no cycles, neither of files nor of folders', () => {
    const files = new Map(product.map((file) => [file, localImports(file)]));
    expect(cyclesOf(files)).toEqual([]);
    const folders = new Map<string, Set<string>>();
    // The files that import adapters stand in the folder of the commands that use it.
    const folderOf = (file: string): string => (ADAPTERS.includes(file) ? file : dirname(file));
    for (const [file, targets] of files) {
      const from = folderOf(file);
      const reached = folders.get(from) ?? new Set<string>();
      for (const target of targets) if (folderOf(target) !== from) reached.add(folderOf(target));
      folders.set(from, reached);
    }
    expect(cyclesOf(folders)).toEqual([]);
  });

  test('no two modules export the same name', () => {
    const modules = new Map<string, string[]>();
    for (const file of product)
      for (const name of exportedNames(file)) modules.set(name, [...(modules.get(name) ?? []), file]);
    expect([...modules].filter(([, files]) => files.length > 1)).toEqual([]);
  });

  test('no folder holds more files than a reader can look over', () => {
    const counts = new Map<string, number>();
    for (const file of [...product, ...sourceFiles('test')])
      counts.set(dirname(file), (counts.get(dirname(file)) ?? 0) + 1);
    expect([...counts].filter(([, count]) => count > FOLDER_FILES_MAX)).toEqual([]);
  });

  test('serving never loads what trains: neither the engines nor the code that drives them', () => {
    const reached = new Set<string>();
    const walk = (file: string): void => {
      if (reached.has(file)) return;
      reached.add(file);
      localImports(file).forEach(walk);
    };
    for (const file of ['command.ts', 'rewrite-worker.ts']) walk(join('src', 'cli', 'serve', file));
    const engines = /from 'onnxruntime-node'|from '@tensorflow|from 'hnswlib-node'/;
    const wrong = [...reached].filter(
      (file) =>
        ['train', 'knn', 'select'].includes(zoneOf(file)) ||
        engines.test(readFileSync(join(ROOT, file), 'utf8')),
    );
    expect(wrong).toEqual([]);
  });

  test('the definitions of commands load no package but the parser of flags', () => {
    const packages = new Set<string>();
    const seen = new Set<string>();
    const visit = (file: string): void => {
      if (seen.has(file)) return;
      seen.add(file);
      for (const specifier of loadedAtOnce(file)) {
        if (specifier.startsWith('.')) visit(join(dirname(file), specifier.replace(/\.js$/, '.ts')));
        else if (!specifier.startsWith('node:')) packages.add(specifier);
      }
    };
    const main = join('src', 'cli', 'main.ts');
    visit(main);
    // The list of the commands is in `main.ts`, which loads only the one that is named.
    localImports(main).forEach(visit);
    expect(seen.size).toBeGreaterThan(20);
    expect([...packages]).toEqual(['commander']);
  });

  test('no vendor is named in src outside cli', () => {
    const named = sourceFiles('src')
      .filter((file) => zoneOf(file) !== 'cli')
      .filter((file) => /qdrant/i.test(withoutExamples(file).replace(VENDOR_ALLOWED, '')));
    expect(named).toEqual([]);
  });

  test('no text outside cli and config names a flag or a command of the command line', () => {
    const named = product
      .filter((file) => !['cli', 'config'].includes(zoneOf(file)) && file !== STYLE_SHEET)
      .flatMap((file) => texts(parse(file)).filter((text) => FLAG_OR_COMMAND.test(text)));
    expect(named).toEqual([]);
  });

  test('files and functions stay within their budgets', () => {
    const over: string[] = [];
    for (const file of product) {
      const source = parse(file);
      const lines = source.getLineAndCharacterOfPosition(source.end).line;
      if (lines > FILE_LINES_MAX && !file.endsWith('-wasm.ts')) over.push(`${file}: ${lines} lines`);
      const visit = (node: ts.Node): void => {
        if (ts.isFunctionLike(node) && 'body' in node && node.body !== undefined) {
          const start = source.getLineAndCharacterOfPosition(node.getStart()).line;
          const length = source.getLineAndCharacterOfPosition(node.end).line - start + 1;
          if (length > FUNCTION_LINES_MAX) over.push(`${file}:${start + 1}: function of ${length} lines`);
        }
        ts.forEachChild(node, visit);
      };
      visit(source);
    }
    expect(over).toEqual([]);
  });

  test('only config reads the environment, only cli exits or writes to the console', () => {
    const wrong = product.filter((file) => {
      const text = withoutExamples(file);
      const zone = zoneOf(file);
      if (zone !== 'config' && /process\.env/.test(text)) return true;
      return zone !== 'cli' && /console\.|process\.exit|process\.std(out|err)/.test(text);
    });
    expect(wrong).toEqual([]);
  });

  test('core does no input or output, two modules for files aside', () => {
    const wrong = sourceFiles('src/core')
      .filter((file) => !/\/(read|write)-file\.ts$/.test(file))
      .filter((file) =>
        /from 'node:(fs|net|http|http2|child_process)/.test(readFileSync(join(ROOT, file), 'utf8')),
      );
    expect(wrong).toEqual([]);
  });

  test('no test uses a connection that may be idle, or sets a time limit of its own', () => {
    const wrong = sourceFiles('test').flatMap((file) => {
      const source = parse(file);
      const found: string[] = [];
      const visit = (node: ts.Node): void => {
        if (ts.isCallExpression(node)) {
          const line = source.getLineAndCharacterOfPosition(node.getStart()).line + 1;
          if (isFetch(node.expression) && !file.endsWith('fetch-once.ts'))
            found.push(`${file}:${line}: use fetchOnce`);
          if (hasTimeLimit(node)) found.push(`${file}:${line}: a time limit`);
        }
        if (ts.isNewExpression(node) && keepsServerConnections(node)) {
          const line = source.getLineAndCharacterOfPosition(node.getStart()).line + 1;
          found.push(`${file}:${line}: use keepAlive: false, or proxy.url`);
        }
        ts.forEachChild(node, visit);
      };
      visit(source);
      return found;
    });
    expect(wrong).toEqual([]);
  });

  test('every test that the documentation names is there', () => {
    const pages = readdirSync(join(ROOT, 'docs'), { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.md'))
      .map((name) => join('docs', name));
    const missing = [...pages, 'README.md', 'CONTRIBUTING.md', 'ARCHITECTURE.md'].flatMap((page) =>
      [...readFileSync(join(ROOT, page), 'utf8').matchAll(/`(test\/[\w./-]+)`/g)]
        .flatMap(([, path]) => path ?? [])
        .filter((path) => ['', '.test.ts'].every((ending) => !existsSync(join(ROOT, path + ending))))
        .map((path) => `${page} names ${path}`),
    );
    expect(missing).toEqual([]);
  });

  test('nothing but what is listed is left out of what keeps the process running', () => {
    const counts = product.flatMap((file): [string, number][] => {
      const count = readFileSync(join(ROOT, file), 'utf8').match(/\.unref\b/g)?.length ?? 0;
      return count === 0 ? [] : [[file, count]];
    });
    const allowed = Object.entries(UNREF).map(([file, [count]]): [string, number] => [file, count]);
    expect(Object.fromEntries(counts)).toEqual(Object.fromEntries(allowed));
  });

  test('randomness is seeded and nothing escapes the type checker', () => {
    const banned = ['Math' + '.random', '@ts-' + 'ignore', '@ts-' + 'expect-error', 'eslint-' + 'disable'];
    const wrong = [
      ...product,
      ...sourceFiles('test'),
      ...sourceFiles('bench'),
      ...sourceFiles('demo'),
    ].filter((file) => banned.some((word) => readFileSync(join(ROOT, file), 'utf8').includes(word)));
    expect(wrong).toEqual([]);
  });
});
