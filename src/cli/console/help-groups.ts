import { Help, Option, type Command } from 'commander';

/** The groups of flags in a command's help, in their order. */
const GROUPS = ['Common options:', 'Training details:', 'Output:', 'Connection:'] as const;

type Group = (typeof GROUPS)[number];

/** Flags that are not common, whatever command they belong to. */
const GROUP_OF: Readonly<Partial<Record<string, Group>>> = {
  '--json': 'Output:',
  '--verbose': 'Output:',
  '--log-level': 'Output:',
  '--report': 'Output:',
  '--junit': 'Output:',
  '--all': 'Output:',
  '--url': 'Connection:',
  '--grpc-url': 'Connection:',
  '--key-columns': 'Connection:',
  '--vector-distance': 'Connection:',
  '--config': 'Connection:',
};

/** Flags of `train` that replace what it decides by itself. */
const TRAINING_DETAILS: readonly string[] = [
  '--deterministic',
  '--loss',
  '--preset',
  '--encoder',
  '--projector',
  '--optimizer',
  '--lr',
  '--epochs',
  '--steps',
  '--batch',
  '--k',
  '--lambda',
  '--perplexity',
  '--init',
  '--engine',
  '--device',
  '--engine-fallback',
  '--neighbours',
  '--held-out',
  '--compact-distance',
  '--ship',
  '--no-refit',
];

/** The three calls of a command that are used most, by its name. */
const MOST_USED: Readonly<Record<string, readonly string[]>> = {
  inspect: ['inspect docs', 'inspect docs --dim 96', 'inspect docs --json'],
  plan: ['plan docs --dry-run', 'plan docs --target "recall@10>=0.97" --yes', 'plan docs --ram 8GB --yes'],
  train: [
    'train docs --dim 96 --out enc.onnx',
    'train docs --dim 96 --out enc.onnx --budget 10m --report train.html',
    'train --input docs.npy --dim 96 --out enc.onnx',
  ],
  start: [
    'migrate start docs docs_2s --encoder enc.onnx --dry-run',
    'migrate start docs docs_2s --encoder enc.onnx --yes',
    'migrate resume docs docs_2s',
  ],
  evaluate: [
    'evaluate docs docs_2s --encoder enc.onnx',
    'evaluate docs docs_2s --encoder enc.onnx --queries q.npy --report page.html',
    'evaluate docs docs_2s --encoder enc.onnx --accept',
  ],
  serve: [
    'serve --collection docs --target docs_2s --encoder enc.onnx',
    'serve --config serve.json',
    'serve --config serve.json --workers 4',
  ],
  search: [
    'search docs_2s --encoder enc.onnx --query q.json',
    'search docs_2s --encoder enc.onnx --query q.json --rescore 100',
    'search docs_2s --encoder enc.onnx --query q.npy --row 3',
  ],
  project: [
    'project --encoder enc.onnx --input docs.npy --out docs-96.npy',
    'project --encoder enc.onnx --input q.npy --as-queries --out q-96.npy',
    'project --encoder enc.onnx < vectors.jsonl > compact.jsonl',
  ],
};

function groupOf(command: Command, { long = '' }: Option): Group {
  if (command.name() === 'train' && TRAINING_DETAILS.includes(long)) return 'Training details:';
  return GROUP_OF[long] ?? 'Common options:';
}

/** Help whose groups stand in the order of `GROUPS`. */
class GroupedHelp extends Help {
  override groupItems<T extends Command | Option>(
    unsorted: T[],
    visible: T[],
    getGroup: (item: T) => string,
  ): Map<string, T[]> {
    const rank = (item: T): number => GROUPS.findIndex((group) => group === getGroup(item));
    const ordered = [...unsorted].sort((a, b) => rank(a) - rank(b));
    return super.groupItems(ordered, visible, getGroup);
  }

  /** On a narrow terminal, what a flag does stands below it. */
  override formatItem(term: string, termWidth: number, description: string, helper: Help): string {
    const width = this.helpWidth ?? WIDTH;
    if (description === '' || width - termWidth - 4 >= this.minWidthToWrap)
      return super.formatItem(term, termWidth, description, helper);
    const lines = helper.boxWrap(description, Math.max(this.minWidthToWrap, width - INDENT)).split('\n');
    return [`  ${term}`, ...lines.map((line) => `${' '.repeat(INDENT)}${line}`)].join('\n');
  }
}

/** Of a help that no terminal shows. */
const WIDTH = 80;
/** Of a description below its flag. */
const INDENT = 6;

/** What stands before an explanation that goes on below itself: "Reads", a term of a list, an indent. */
const HANGING = /^(Reads {3}|Writes {2}| {2}(?!qdrant-tldr )\S.*? {2,}| {6}(?=[a-z]))(\S.*)$/;

/** Returns a text whose paragraphs and lists fit the terminal. Commands stay whole, so that they can be copied. */
export function wrappedHelp(text: string): string {
  const help = new Help();
  const width = process.stdout.isTTY ? process.stdout.columns : WIDTH;
  const lines: string[] = [];
  let open: { readonly before: string; text: string } | null = null;
  const endParagraph = (): void => {
    if (open === null) return;
    const { before } = open;
    const indent = ' '.repeat(before.length);
    const wrapped = help.boxWrap(open.text, Math.max(help.minWidthToWrap, width - before.length));
    lines.push(...wrapped.split('\n').map((line, i) => `${i === 0 ? before : indent}${line}`));
    open = null;
  };
  for (const line of text.split('\n')) {
    const [, before, explanation = ''] = HANGING.exec(line) ?? [];
    const indent = line.length - line.trimStart().length;
    if (before !== undefined && indent !== (open === null ? -1 : open.before.length)) {
      endParagraph();
      open = { before, text: explanation };
    } else if (line !== '' && open !== null && indent === open.before.length) {
      open.text += ` ${line.trimStart()}`;
    } else {
      endParagraph();
      if (line === '' || indent > 0) lines.push(line);
      else open = { before: '', text: line };
    }
  }
  endParagraph();
  return lines.join('\n');
}

/** Makes the help of a command fit narrow terminals too. */
export function fitHelp(command: Command): void {
  command.createHelp = () => Object.assign(new GroupedHelp(), command.configureHelp());
}

/** Puts the flags of a command's help into groups, the common ones first, below the calls that are used most. */
export function groupOptions(command: Command): void {
  for (const option of command.options) option.helpGroup(groupOf(command, option));
  command.addHelpOption(new Option('-h, --help', 'show this help').helpGroup('Output:'));
  fitHelp(command);
  const calls = Object.hasOwn(MOST_USED, command.name()) ? MOST_USED[command.name()] : undefined;
  if (calls === undefined) return;
  const lines = calls.map((call) => `  qdrant-tldr ${call}`);
  command.addHelpText('before', ['Most used:', ...lines, ''].join('\n'));
}
