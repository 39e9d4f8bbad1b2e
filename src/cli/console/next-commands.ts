import { adapterSettings, kebabCase, type GlobalFlags } from './options.js';
import { commandLine } from './check-output.js';
import { shellCommand, type ShellCommand } from './shell-command.js';

/** The words of this process's command line. */
const words = (): readonly string[] => process.argv.slice(2);

/** Returns a command to paste into a shell, which reaches the same server as the command with these flags did. */
export function nextCommand(flags: GlobalFlags, command: ShellCommand): string {
  const { url, config } = flags;
  const own = adapterSettings().map(
    ({ name }) => [`--${kebabCase(name)}`, Reflect.get(flags, name) as unknown] as const,
  );
  const connection = ([['--url', url], ['--config', config], ...own] as const).flatMap(([flag, value]) =>
    typeof value === 'string' ? [[flag, value] as const] : [],
  );
  return shellCommand({ ...command, flags: [...command.flags, ...connection] });
}

/** Returns this process's command with one more flag. */
export function sameCommandWith(flag: string): string {
  const given = words();
  const end = given.indexOf('--');
  const at = end < 0 ? given.length : end;
  return commandLine([...given.slice(0, at), flag, ...given.slice(at)]);
}

/** Returns this process's command without a flag that has no value. */
export function sameCommandWithout(flag: string): string {
  const given = words();
  const end = given.indexOf('--');
  return commandLine(given.filter((word, i) => word !== flag || (end >= 0 && i > end)));
}

/** Returns the command that projects a file of vectors into a new file beside it. */
export function projectStep(of: {
  readonly input: string;
  readonly column: string | undefined;
  readonly encoder: string;
  readonly dim: number;
}): string {
  const { input, column, encoder, dim } = of;
  const ending = /\.(?:npy|parquet)$/.exec(input)?.[0] ?? '';
  const out = `${input.slice(0, input.length - ending.length)}-${dim}${ending === '' ? '.npy' : ending}`;
  return shellCommand({
    command: ['project'],
    flags: [
      ['--encoder', encoder],
      ['--input', input],
      ...(column === undefined ? [] : [['--column', column] as const]),
      ['--out', out],
    ],
  });
}

/** A collection, its compact form, and the file of its encoder if that is known. */
export interface MadeCollection {
  readonly source: string;
  readonly target: string;
  readonly encoderFile: string | null;
}

type Flag = readonly [flag: string, value: string | number | null];

function encoderFlag({ encoderFile }: MadeCollection): Flag[] {
  return encoderFile === null ? [] : [['--encoder', encoderFile]];
}

/** The command that compares a collection with its compact form. */
export function evaluateStep(made: MadeCollection, flags: GlobalFlags): string {
  const names = [made.source, made.target];
  return nextCommand(flags, { command: ['evaluate'], names, flags: encoderFlag(made) });
}

/** The command that serves a compact form to the clients of its source. */
export function serveStep(made: MadeCollection, flags: GlobalFlags): string {
  const served: Flag[] = [
    ['--collection', made.source],
    ['--target', made.target],
  ];
  return nextCommand(flags, { command: ['serve'], flags: [...served, ...encoderFlag(made)] });
}
