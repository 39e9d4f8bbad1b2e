import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** The command line as installed. */
export const CLI = fileURLToPath(new URL('../src/cli/main.js', import.meta.url));
/** With `--node-heap` no process lets its heap grow at ease, as the command line does: a flag given to Node stays. */
const HEAP_FLAGS = process.argv.includes('--node-heap') ? ['--heap-growing-percent=0'] : [];

/** Clock ticks per second of /proc on Linux. */
const CLOCK_TICKS = 100;

/** Processor time of a process so far, its threads included (proc(5): fields 14 and 15 of stat). */
export function cpuSecondsOf(pid: number): number {
  const [, , , , , , , , , , , user, system] = statOf(pid);
  return (Number(user) + Number(system)) / CLOCK_TICKS;
}

/** Processor time of processes that a process started and that ended (fields 16 and 17 of stat). */
function endedCpuSecondsOf(pid: number): number {
  const [, , , , , , , , , , , , , user, system] = statOf(pid);
  return (Number(user) + Number(system)) / CLOCK_TICKS;
}

/** The fields of stat from the third on. */
function statOf(pid: number): readonly string[] {
  return readFileSync(`/proc/${pid}/stat`, 'utf8')
    .replace(/^.*\) /, '')
    .split(' ');
}

/** A process and all that it started and that is still there. */
function treeOf(pid: number): number[] {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean);
  return [pid, ...children.flatMap((child) => treeOf(Number(child)))];
}

/** Processor time of a process with all that it started, also of what has ended. */
export function treeCpuSecondsOf(pid: number): number {
  return treeOf(pid).reduce((sum, one) => sum + cpuSecondsOf(one) + endedCpuSecondsOf(one), 0);
}

/** Numbers of the cores that this process may use (proc(5): `Cpus_allowed_list` of status, as `0-3,8`). */
export function coresAllowed(): number[] {
  const list = /^Cpus_allowed_list:\s*(.*)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '';
  return list.split(',').flatMap((range) => {
    const [first = NaN, last = first] = range.split('-').map(Number);
    return Array.from({ length: last - first + 1 }, (_, i) => first + i);
  });
}

/** Keeps a process, with all that it started, to some cores. @throws without `taskset` (util-linux) */
export function keepToCores(pid: number, cores: readonly number[]): void {
  for (const one of treeOf(pid))
    execFileSync('taskset', ['-apc', cores.join(','), String(one)], { stdio: 'ignore' });
}

/** Processor time of all cores so far, and what of it the host gave to other machines (proc(5): the first line of stat). */
export function machineSeconds(): { readonly all: number; readonly stolen: number } {
  const [line = ''] = readFileSync('/proc/stat', 'utf8').split('\n', 1);
  // The fields behind the eighth are part of the first two.
  const ticks = line.trim().split(/\s+/).slice(1, 9).map(Number);
  return {
    all: ticks.reduce((sum, value) => sum + value, 0) / CLOCK_TICKS,
    stolen: (ticks[7] ?? 0) / CLOCK_TICKS,
  };
}

/**
 * Runs a script of this repository to its end and reads the JSON it prints.
 * @throws when it ends with another code than 0
 */
export async function runScript(script: string, args: readonly string[]): Promise<unknown> {
  const child = spawn(process.execPath, [...HEAP_FLAGS, script, ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  endWithThis(child);
  let output = '';
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
  if (code !== 0) throw new Error(`${script} ${args.join(' ')} ended with code ${code}`);
  return JSON.parse(output);
}

function endWithThis(child: ChildProcess): void {
  const kill = (): void => void child.kill();
  process.once('exit', kill);
  child.once('close', () => process.off('exit', kill));
}

export interface Started {
  readonly child: ChildProcess;
  readonly pid: number;
  /** What the pattern found in the output. */
  readonly found: RegExpExecArray;
  stop(): Promise<void>;
}

/**
 * Starts a script that stays, and waits until its output matches.
 * @throws when it ends before
 */
export function startScript(script: string, args: readonly string[], ready: RegExp): Promise<Started> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [...HEAP_FLAGS, script, ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let output = '';
    const ended = new Promise<void>((done) => child.once('close', () => done()));
    const stop = async (): Promise<void> => {
      child.kill('SIGTERM');
      await ended;
    };
    endWithThis(child);
    const look = (chunk: Buffer): void => {
      output += chunk.toString();
      const found = ready.exec(output);
      if (found !== null && child.pid !== undefined) resolve({ child, pid: child.pid, found, stop });
    };
    child.stdout.on('data', look);
    child.stderr.on('data', look);
    child.once('close', (code) => reject(new Error(`${script} ended with code ${code}: ${output}`)));
  });
}
