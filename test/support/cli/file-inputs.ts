/**
 * How a file input is read.
 * - `regular`: from a regular file only
 * - `table`: `.npy` from a regular file only, anything else as text, which may also come from a pipe
 * - `text`: as text, which may also come from a pipe
 * - `small`: from a regular file or a pipe, up to a few megabytes
 * - `state`: a file that the product reads and writes itself
 */
export type InputKind = 'regular' | 'npy' | 'table' | 'text' | 'small' | 'state';

/** A file input of a command, and the arguments that come before the path. */
export interface FileInput {
  readonly command: string;
  readonly flag: string;
  readonly kind: InputKind;
  readonly before: readonly string[];
}

const rows = (
  command: string,
  flag: string,
  { kind, before }: { readonly kind: InputKind; readonly before: string },
): FileInput => ({ command, flag, kind, before: before.split(' ').filter((word) => word !== '') });

const LEARN = '--input x.npy --dim 4 --out e.onnx --dry-run';
const STORED = 'docs --dim 4 --out e.onnx --dry-run';
const JUDGED = 'docs --target recall@10>=0.9 --objective relevance --yes';
const SCORED = '--base x.npy --encoder enc.onnx';
const MIGRATION = 'docs docs_c --yes';
const STARTED = 'docs docs_c --record state.json';

/** Every option that names a file to read. `docs` is a collection, `x.npy` holds vectors of its dimension. */
export const FILE_INPUTS: readonly FileInput[] = [
  rows('train', '--input', { kind: 'npy', before: '--dim 4 --out e.onnx --dry-run' }),
  rows('train', '--checkpoint', { kind: 'regular', before: LEARN }),
  rows('train', '--from', { kind: 'regular', before: LEARN }),
  rows('train', '--queries', { kind: 'table', before: LEARN }),
  rows('train', '--queries', { kind: 'table', before: STORED }),
  rows('train', '--labels', { kind: 'table', before: `${LEARN} --objective relevance` }),
  rows('train', '--labels', { kind: 'text', before: `${STORED} --objective relevance` }),
  rows('train', '--qrels', { kind: 'table', before: `${LEARN} --objective relevance --queries x.npy` }),
  rows('train', '--qrels', { kind: 'table', before: `${STORED} --objective relevance --queries x.npy` }),
  rows('plan', '--queries', { kind: 'table', before: 'docs --target recall@10>=0.9 --yes' }),
  rows('plan', '--labels', { kind: 'text', before: JUDGED }),
  rows('plan', '--qrels', { kind: 'table', before: `${JUDGED} --queries x.npy` }),
  rows('shrink', '--queries', { kind: 'table', before: 'docs --yes --choose safe --out e.onnx' }),
  rows('evaluate', '--encoder', { kind: 'regular', before: 'docs docs_c' }),
  rows('evaluate', '--encoder', { kind: 'regular', before: '--base x.npy' }),
  rows('evaluate', '--base', { kind: 'npy', before: '--encoder enc.onnx' }),
  rows('evaluate', '--queries', { kind: 'table', before: SCORED }),
  rows('evaluate', '--queries', { kind: 'table', before: 'docs docs_c --encoder enc.onnx' }),
  rows('evaluate', '--labels', { kind: 'table', before: SCORED }),
  rows('evaluate', '--query-labels', {
    kind: 'table',
    before: `${SCORED} --queries x.npy --labels labels.npy`,
  }),
  rows('evaluate', '--qrels', { kind: 'table', before: `${SCORED} --queries x.npy` }),
  rows('evaluate', '--qrels', {
    kind: 'table',
    before: 'docs docs_c --encoder enc.onnx --queries x.npy',
  }),
  rows('search', '--encoder', { kind: 'regular', before: 'docs_c --query x.npy' }),
  rows('search', '--query', { kind: 'table', before: 'docs_c --encoder enc.onnx' }),
  rows('sql', '--encoder', { kind: 'regular', before: '' }),
  rows('project', '--encoder', { kind: 'regular', before: '--input x.npy --out z.npy --dry-run' }),
  rows('project', '--input', { kind: 'npy', before: '--encoder enc.onnx --out z.npy --dry-run' }),
  rows('project', '--input', { kind: 'text', before: '--encoder enc.onnx --dry-run' }),
  rows('serve', '--encoder', { kind: 'regular', before: '--collection docs --target docs_c --check' }),
  rows('serve', '--tls-cert', {
    kind: 'regular',
    before: '--collection docs --target docs_c --encoder enc.onnx --check --tls-key enc.onnx',
  }),
  rows('serve', '--tls-key', {
    kind: 'regular',
    before: '--collection docs --target docs_c --encoder enc.onnx --check --tls-cert enc.onnx',
  }),
  rows('serve', '--record-queries', {
    kind: 'npy',
    before: '--collection docs --target docs_c --encoder enc.onnx --check',
  }),
  rows('migrate reencode', '--encoder', { kind: 'regular', before: 'docs_2s --yes' }),
  rows('migrate reencode', '--record', { kind: 'state', before: 'docs_2s --encoder other.onnx --yes' }),
  rows('migrate reencode', '--config', { kind: 'small', before: 'docs_2s --encoder other.onnx' }),
  rows('migrate start', '--encoder', { kind: 'regular', before: 'docs other --yes' }),
  ...['resume', 'verify'].map((verb) =>
    rows(`migrate ${verb}`, '--encoder', { kind: 'regular', before: STARTED }),
  ),
  rows('migrate cutover', '--encoder', {
    kind: 'regular',
    before: `${STARTED} --alias name --catch-up --yes`,
  }),
  ...['start', 'resume'].map((verb) =>
    rows(`migrate ${verb}`, '--record', { kind: 'state', before: `${MIGRATION} --encoder enc.onnx` }),
  ),
  ...['status', 'pause', 'tune', 'verify', 'cutover', 'rollback', 'complete', 'abort'].map((verb) =>
    rows(`migrate ${verb}`, '--record', {
      kind: 'state',
      before: `docs docs_c${{ tune: ' --nice 1', cutover: ' --alias name --yes', verify: ' --encoder enc.onnx' }[verb] ?? ''}`,
    }),
  ),
  ...[
    'config',
    'inspect',
    'train',
    'plan',
    'evaluate',
    'search',
    'serve',
    'project',
    'sql',
    'demo',
    'shrink',
  ].map((command) =>
    rows(command, '--config', {
      kind: 'small',
      before:
        {
          config: '',
          sql: '--encoder enc.onnx',
          inspect: 'docs',
          train: LEARN,
          plan: 'docs --target recall@10>=0.9',
          shrink: 'docs --yes --choose safe --out e.onnx',
          evaluate: SCORED,
          search: 'docs_c --encoder enc.onnx --query x.npy',
          serve: '--check',
          project: '--encoder enc.onnx --input x.npy --out z.npy',
        }[command] ?? '',
    }),
  ),
  ...['start', 'status', 'pause', 'resume', 'tune', 'verify', 'cutover', 'rollback', 'complete', 'abort'].map(
    (verb) =>
      rows(`migrate ${verb}`, '--config', {
        kind: 'small',
        before: `docs docs_c${verb === 'start' ? ' --encoder enc.onnx' : ''}`,
      }),
  ),
];

/** Options that name a file or a folder to write. */
export const FILE_OUTPUTS: readonly string[] = [
  'train --out',
  'train --report',
  'plan --report',
  'shrink --out',
  'shrink --report',
  'evaluate --junit',
  'evaluate --report',
  'project --out',
  'sql --out',
];
