import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { messageOf } from '../../../src/core/errors.js';

const execute = promisify(execFile);

/** Why tests are left out: a tool is missing or too old, or the registry of its packages cannot be reached. */
export class ToolMissing extends Error {}

export interface ToolOptions {
  readonly cwd?: string;
  readonly env?: NodeJS.ProcessEnv;
}

/** How the tools say that they reach no registry. Maven looks there for its own parts, too. */
const UNREACHABLE =
  /could not connect|connect(ion)? refused|connection reset|connection error|network is unreachable|no such host|could not resolve|name resolution|failed to establish a new connection|timed? ?out|no plugin found for prefix|proxy error|status code: (403|407|5\d\d)|(403|407|5\d\d) (forbidden|proxy|bad gateway|service)/i;

/** Runs a tool and returns what it prints. @throws ToolMissing without it, and an error with its words if it fails */
export async function runTool(
  command: string,
  args: readonly string[],
  options: ToolOptions = {},
): Promise<string> {
  try {
    const { stdout } = await execute(command, args, { ...options, encoding: 'utf8' });
    return stdout;
  } catch (error) {
    if (isFailure(error) && error.code === 'ENOENT') throw new ToolMissing(`${command} is not installed`);
    // Some tools write what is wrong to standard output.
    const said = isFailure(error) && typeof error.stdout === 'string' ? error.stdout : '';
    throw new Error(`${messageOf(error)}${said}`, { cause: error });
  }
}

interface Failure {
  readonly code?: unknown;
  readonly stdout?: unknown;
}

const isFailure = (error: unknown): error is Failure => typeof error === 'object' && error !== null;

/**
 * Checks that a tool is there and recent enough, by the first version in what it prints.
 * @returns what it prints
 * @throws ToolMissing otherwise
 */
export async function requireTool(
  [command, ...args]: readonly [string, ...string[]],
  least: readonly [number, number],
  options: ToolOptions = {},
): Promise<string> {
  const printed = await runTool(command, args, options);
  const [, major, minor] = /(\d+)\.(\d+)/.exec(printed) ?? [];
  const isNewer = Number(major) > least[0];
  if (isNewer || (Number(major) === least[0] && Number(minor) >= least[1])) return printed;
  throw new ToolMissing(`${command} is too old: ${least.join('.')} is needed, this is ${printed.trim()}`);
}

/** Runs a tool that fetches packages. @throws ToolMissing if it reaches no registry, and as `runTool` */
export async function fetchPackages(
  command: string,
  args: readonly string[],
  options: ToolOptions = {},
): Promise<void> {
  try {
    await runTool(command, args, options);
  } catch (error) {
    if (error instanceof ToolMissing || !UNREACHABLE.test(messageOf(error))) throw error;
    throw new ToolMissing(`packages cannot be fetched: ${messageOf(error)}`, { cause: error });
  }
}

/**
 * Returns what `find` returns; null, with a printed reason, where tools or packages cannot be had.
 * @throws what `find` throws otherwise: a program that does not compile, or does not load, is an error
 */
export async function unlessMissing<T>(tests: string, find: () => Promise<T>): Promise<T | null> {
  try {
    return await find();
  } catch (error) {
    if (!(error instanceof ToolMissing)) throw error;
    const reason = messageOf(error).split('\n').slice(0, 3).join(' ');
    process.stderr.write(`left out: ${tests}: ${reason}\n`);
    return null;
  }
}
