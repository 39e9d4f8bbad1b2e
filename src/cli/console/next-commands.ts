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
  /** The source itself, if compact vectors stand beside the full ones. */
  readonly target: string;
  readonly encoderFile: string | null;
  /** First-stage results per requested result; absent if the commands' own default fits. */
  readonly oversampling?: number;
  /** The vector that was reduced, to be named where the target is the source itself. */
  readonly vectorName?: string | undefined;
  /** False if compact vectors could stand beside the full ones, and no migration keeps them there yet. */
  readonly isMigrated?: boolean;
}

type Flags = ShellCommand['flags'];

function encoderFlag({ encoderFile }: MadeCollection): Flags {
  return encoderFile === null ? [] : [['--encoder', encoderFile]];
}

/** The flag that rescores as many first-stage results as the collection was made for. */
export function rescoreFlag({ oversampling = 1 }: MadeCollection): Flags {
  return oversampling > 1 ? [['--rescore', TOP * oversampling]] : [];
}

/** Returns the names of a collection and its compact form: one where that is the collection itself. */
function namesOf({ source, target }: MadeCollection): readonly string[] {
  return source === target ? [source] : [source, target];
}

/** Returns the command that compares a collection with its compact form, as clients will search it. */
export function evaluationLine(made: MadeCollection, more: Flags = []): ShellCommand {
  return {
    command: ['evaluate'],
    names: namesOf(made),
    flags: [...encoderFlag(made), ...columnFlag(made, '--column'), ...rescoreFlag(made), ...more],
  };
}

function columnFlag({ source, target, vectorName }: MadeCollection, flag: string): Flags {
  return source !== target || vectorName === undefined ? [] : [[flag, vectorName]];
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

/** Returns the command that writes compact vectors beside the full ones of a table. */
export function besideLine(made: MadeCollection, more: Flags = []): ShellCommand {
  return {
    command: ['migrate', 'start'],
    names: [made.source],
    flags: [...encoderFlag(made), ...columnFlag(made, '--vector'), ...more],
  };
}

/**
 * Returns the command that makes or replaces a search function of the database, or without --execute shows it.
 * @param name of the function; undefined for the command's default
 */
export function searchFunctionLine(made: MadeCollection, name?: string): ShellCommand {
  const { source, oversampling = 1 } = made;
  return {
    command: ['migrate', 'cutover'],
    names: [source],
    flags: [
      ...columnFlag(made, '--vector'),
      ['--form', 'function'],
      ...(name === undefined ? [] : [['--function', name] as const]),
      ...(oversampling > 1 ? [['--candidates', TOP * oversampling] as const] : []),
    ],
  };
}

/** Returns the command that changes <=> for one role of the database, or without --execute shows how. */
export function operatorLine(made: MadeCollection, role: string): ShellCommand {
  return {
    command: ['migrate', 'cutover'],
    names: [made.source],
    flags: [...columnFlag(made, '--vector'), ['--form', 'operator'], ['--role', role]],
  };
}

/**
 * Returns the command with which clients come to the compact form: the proxy, or a search function where compact vectors
 * stand beside the full ones. For another database that the proxy does not speak for, it is one that shows how a program
 * projects a query and searches.
 * @param url the address of the database
 */
export function clientsLine(made: MadeCollection, url: string): ShellCommand {
  if (hasProxy(url)) return servingLine(made);
  if (made.source === made.target)
    return made.isMigrated === false ? besideLine(made) : searchFunctionLine(made);
  return {
    command: ['search'],
    names: [made.target],
    flags: [...encoderFlag(made), ['--query', 'query.json'], ...rescoreFlag(made)],
  };
}

/** What a report says about the command of `clientsLine`. */
export function clientsText({ source, target, isMigrated }: MadeCollection, url: string): string {
  if (hasProxy(url))
    return 'Let clients reach the target through the proxy. It projects their vectors, so clients keep working unchanged.';
  if (source === target && isMigrated === false)
    return 'Write compact vectors beside the full ones. Triggers keep them up to date. Nothing changes for clients.';
  return source === target
    ? 'Let the search function that clients call find candidates by compact vectors. Its scores stay those of the full vectors. Without --execute, this command only shows the function.'
    : 'Let clients project their query vectors with the encoder and search the target. This command does both for one query.';
}
