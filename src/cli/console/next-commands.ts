import { adapterSettings, kebabCase, type GlobalFlags } from './options.js';
import { hasProxy } from '../adapters.js';
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

/** Results of a search, as recall@10 counts them. */
export const TOP = 10;

/** A collection, its compact form, and the file of its encoder if that is known. */
export interface MadeCollection {
  readonly source: string;
  readonly target: string;
  readonly encoderFile: string | null;
  /** First-stage results per requested result; absent if the commands' own default fits. */
  readonly oversampling?: number;
}

type Flags = ShellCommand['flags'];

function encoderFlag({ encoderFile }: MadeCollection): Flags {
  return encoderFile === null ? [] : [['--encoder', encoderFile]];
}

/** The flag that rescores as many first-stage results as the collection was made for. */
export function rescoreFlag({ oversampling = 1 }: MadeCollection): Flags {
  return oversampling > 1 ? [['--rescore', TOP * oversampling]] : [];
}

/** Returns the command that compares a collection with its compact form, as clients will search it. */
export function evaluationLine(made: MadeCollection, more: Flags = []): ShellCommand {
  return {
    command: ['evaluate'],
    names: [made.source, made.target],
    flags: [...encoderFlag(made), ...rescoreFlag(made), ...more],
  };
}

/** Returns the command that serves a compact form to the clients of its source, by the proxy. */
export function servingLine(made: MadeCollection): ShellCommand {
  const { source, target, oversampling = 1 } = made;
  return {
    command: ['serve'],
    flags: [
      ['--collection', source],
      ['--target', target],
      ...encoderFlag(made),
      ...(oversampling > 1 ? [['--oversampling', oversampling] as const] : []),
    ],
  };
}

/**
 * Returns the command with which clients come to the compact form: the proxy. For a database that the proxy does not
 * speak for, it is one that shows how a program projects a query and searches.
 * @param url the address of the database
 */
export function clientsLine(made: MadeCollection, url: string): ShellCommand {
  if (hasProxy(url)) return servingLine(made);
  return {
    command: ['search'],
    names: [made.target],
    flags: [...encoderFlag(made), ['--query', 'query.json'], ...rescoreFlag(made)],
  };
}

/** What a report says about the command of `clientsLine`. */
export function clientsText(url: string): string {
  return hasProxy(url)
    ? 'Let clients reach the target through the proxy. It projects their vectors, so clients keep working unchanged.'
    : 'Let clients project their query vectors with the encoder and search the target. This command does both for one query.';
}
