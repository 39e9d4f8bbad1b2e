import { describe, expect, test } from '@jest/globals';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import ts from 'typescript';
import { defaultSettings, REFERENCE, referenceSettings } from '../../src/train/options.js';

const PLACES = [
  'src/hyper-parameters/fit-of-candidates.ts',
  'src/hyper-parameters/choice-of-candidate.ts',
  'src/hyper-parameters/deadline.ts',
  'src/hyper-parameters/plan-deadline.ts',
];
/** Folders whose code decides which encoder a training gives. */
const FOLDERS = ['src/train', 'src/train/engine', 'src/select', 'src/baselines', 'src/knn'];

/** Numbers that say nothing about a training: counts, signs, halves. */
const PLAIN = new Set(['0', '1', '2', '0.5']);

/** Numbers of these folders that decide nothing about the encoder, and what they are instead. */
const NO_HYPER_PARAMETERS: Readonly<Record<string, string>> = {
  'src/train/model.ts STATISTICS_ROWS_MAX': 'more rows make no difference that float32 weights can hold',
  'src/train/model.ts WIDTH_MAX': 'a limit of what a user may ask for',
  'src/train/model.ts LAYERS_MAX': 'a limit of what a user may ask for',
  'src/train/engine/ops.ts EPSILON': 'keeps a division finite',
  'src/train/engine/ops.ts NORM_EPSILON': 'keeps a division finite',
  'src/train/engine/ops.ts MASK': 'minus infinity, in float32',
  'src/train/state.ts SLOTS_MAX': 'a limit of what a file may hold',
  'src/train/engine/check-engine.ts WORDS_MAX': 'a length of an error',
  'src/train/engine/tfjs-backend.ts WASM_BYTES_MAX': 'a limit of WebAssembly',
  'src/train/engine/tfjs-backend.ts WASM_COPIES': 'measured need of memory, for a check',
  'src/train/deadline.ts TIMEOUT_MS_MAX': 'a limit of timers',
  'src/train/run-training.ts STATE_SECONDS': 'how often the state is saved',
  'src/select/fit-learned.ts secondsSince': 'milliseconds in a second',
  'src/select/candidate.ts UNIT_TOLERANCE': 'the rounding of stored vectors',
  'src/select/train-memory.ts SAMPLES': 'an estimate of memory',
  'src/select/train-memory.ts MAPS': 'an estimate of memory',
  'src/select/train-memory.ts DENSE_BYTES': 'an estimate of memory',
  'src/select/train-memory.ts BASIS_BYTES': 'an estimate of memory',
  'src/select/train-memory.ts BASE_BYTES': 'an estimate of memory',
  'src/baselines/cholesky.ts PIVOT_MIN': 'a bound of rounding errors',
  'src/baselines/row-space.ts BLOCK_ROWS': 'the size of a block',
  'src/baselines/row-space.ts OWN_SHARE_MIN': 'a bound of rounding errors',
  'src/baselines/row-space.ts DEPENDENT_MAX': 'a bound of rounding errors',
  'src/knn/exact-search.ts QUERY_BLOCK_ROWS': 'the size of a block',
  'src/knn/exact-search.ts MANHATTAN_QUERY_BLOCK_ROWS': 'the size of a block',
  'src/knn/exact-search.ts BASE_BLOCK_ROWS': 'the size of a block',
  'src/knn/exact-search.ts BASE_BLOCK_VALUES': 'the size of a block',
  'src/knn/hnsw-worker.ts PROGRESS_ROWS': 'how often progress is reported',
};

/** Whether a literal may be a hyper-parameter: a number that is not plain, or the name of an encoder with its width. */
function isSetting(node: ts.Node): node is ts.NumericLiteral | ts.StringLiteral {
  if (ts.isNumericLiteral(node)) return !PLAIN.has(node.text);
  return ts.isStringLiteral(node) && /^(?:(?:mlp|flinear)-\d+-\d+|residual-\d+)$/.test(node.text);
}

/** The name that a literal gets: of a constant of the module, a default or a property; undefined inside formulas. */
function nameOf(literal: ts.Node): string | undefined {
  for (let node = literal; !ts.isSourceFile(node); node = node.parent) {
    if (ts.isPropertyAssignment(node) || ts.isBindingElement(node) || ts.isParameter(node))
      return node.name.getText();
    if (ts.isVariableDeclaration(node) && ts.isSourceFile(node.parent.parent.parent))
      return node.name.getText();
  }
  return undefined;
}

/** Settings that a file defines, by name; a fraction counts wherever it stands. */
function settingsOf(file: string, text: string): string[] {
  const source = ts.createSourceFile(file, text, ts.ScriptTarget.ES2022, true);
  const found = new Set<string>();
  const visit = (node: ts.Node): void => {
    if (isSetting(node)) {
      const fraction = ts.isNumericLiteral(node) && !Number.isInteger(Number(node.text));
      const name = nameOf(node) ?? (fraction || ts.isStringLiteral(node) ? node.getText() : undefined);
      if (name !== undefined) found.add(`${file} ${name}`);
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  return [...found];
}

describe('the hyper-parameters of training', () => {
  test('stand in one folder; other numbers are listed here with a reason', () => {
    const files = FOLDERS.flatMap((folder) =>
      readdirSync(folder)
        .filter((name) => name.endsWith('.ts'))
        .map((name) => join(folder, name)),
    );
    const found = files.flatMap((file) => settingsOf(file, readFileSync(file, 'utf8')));
    expect(found.sort()).toEqual(Object.keys(NO_HYPER_PARAMETERS).sort());
  });

  test.each([
    ['const RATE = 0.003;', ['x.ts RATE']],
    ['const PLAN = { share: 0.1, steps: [1, 500] };', ['x.ts share', 'x.ts steps']],
    ['function f({ momentum = 0.9 }, k = 5) {}', ['x.ts momentum', 'x.ts k']],
    ['const f = (x) => x * 0.2 + 3 * x;', ['x.ts f']],
    ['function f(x) { return x > 0.9 ? 3 * x : x / 2; }', ['x.ts 0.9']],
    ["function f() { return train('residual-1024'); }", ["x.ts 'residual-1024'"]],
    ['function f(x) { return 0.5 * (1 + x); }', []],
  ])('would be found elsewhere: %s', (text, expected) => {
    expect(settingsOf('x.ts', text)).toEqual(expected);
  });

  test('name a source: a paper, a page that is there, or that they were chosen', () => {
    const texts = PLACES.map((place) => readFileSync(place, 'utf8'));
    const pages = texts.flatMap((text) => [...text.matchAll(/docs\/[\w/-]+\.md/g)].map(([page]) => page));
    expect(pages.length).toBeGreaterThan(10);
    expect(pages.filter((page) => !existsSync(page))).toEqual([]);
    const statements = texts.flatMap((text) => [
      ...ts.createSourceFile('numbers.ts', text, ts.ScriptTarget.ES2022, true).statements,
    ]);
    const silent = statements.filter(ts.isVariableStatement).filter((statement) => {
      const comments = statement.getFullText().replace(/\s+(?:\/\/|\*) /g, ' ');
      return !/Source|Chosen|docs\/|\b(?:19|20)\d\d\b/i.test(comments);
    });
    const names = silent.map(({ declarationList }) => declarationList.declarations[0]?.name.getText());
    // The parts of what follows them, and a pair under one comment.
    expect(names).toEqual(['PUBLISHED_BATCH', 'PUBLISHED_EPOCHS', 'TLDR_MLP']);
  });

  test('give the published settings of TLDR', () => {
    expect(REFERENCE).toEqual({
      loss: 'barlow-twins',
      encoder: 'linear',
      projector: 'mlp-1-2048',
      optimizer: 'lars',
      learningRate: 0.8,
      warmUpShare: 0.1,
      learningRateFloor: 0.001,
      epochs: 100,
      steps: null,
      batchSize: 1024,
      nNeighbors: 5,
      neighborsPerAnchor: 1,
      lambda: 0.0039,
      lossScale: 1 / 32,
      perplexity: 5,
    });
    expect(referenceSettings({ batchSize: 1024, epochs: 100 })).toEqual(REFERENCE);
  });

  test('give the defaults of neighbourhood-kl', () => {
    expect(defaultSettings('neighbourhood-kl')).toEqual({
      ...REFERENCE,
      loss: 'neighbourhood-kl',
      projector: 'none',
      optimizer: 'adam',
      learningRate: 0.01,
      warmUpShare: 0.05,
      epochs: null,
      steps: 500,
      batchSize: 1280,
      nNeighbors: 100,
      neighborsPerAnchor: 10,
    });
  });
});
