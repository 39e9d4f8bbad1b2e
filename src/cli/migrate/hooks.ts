import type { Command } from 'commander';
import { spawn } from 'node:child_process';
import type { Config } from '../../config/load.js';
import { hookEnvironment } from '../../config/hook-environment.js';
import { TldrError } from '../../core/errors.js';
import type { EventFacts, MigrationEvent, MigrationHook } from '../../migrate/plan/migration-events.js';
import { MIGRATION_EVENTS } from '../../migrate/plan/event-names.js';

const HOOK_TIMEOUT_MS = 300_000;

interface Hook {
  readonly event: MigrationEvent;
  readonly command: string;
}

export interface HookFlags {
  /** Events and commands in turn. */
  readonly on?: readonly string[];
}

/** Adds `--on <event> <command>`, which may be repeated. */
export function withHookFlags(command: Command): Command {
  return command.option(
    '--on <event...>',
    `run a shell command at an event: --on <event> '<command>'; may be repeated; events: ${MIGRATION_EVENTS.join(', ')}`,
  );
}

/**
 * Returns a hook that runs the commands of an event one after another, each by `sh -c` as it was given. Facts
 * are in TLDR_ variables and never inserted into the command, so that no name is run as one. Output goes to
 * standard error.
 * @throws INVALID_ARGUMENT when the flags are not pairs of an event and a command
 */
export function hooksOf(flags: HookFlags, config: Config, signal: AbortSignal): MigrationHook | undefined {
  const hooks = parseHooks(flags.on ?? []);
  if (hooks.length === 0) return undefined;
  const base = hookEnvironment(config.apiKey);
  return async (event, facts) => {
    const env = { ...base, ...variablesOf(event, facts) };
    for (const { command } of hooks.filter((hook) => hook.event === event))
      await runHook({ event, command }, env, signal);
  };
}

function parseHooks(words: readonly string[]): Hook[] {
  const hooks: Hook[] = [];
  for (let i = 0; i < words.length; i += 2) {
    const [name = '', command] = words.slice(i, i + 2);
    const event = MIGRATION_EVENTS.find((one) => one === name);
    if (event === undefined || command === undefined || command === '') {
      throw new TldrError(
        'INVALID_ARGUMENT',
        event === undefined
          ? `--on ${name}: no such event; events are ${MIGRATION_EVENTS.join(', ')}; write the collections before --on`
          : `--on ${event}: a command must follow, as one word in quotes`,
      );
    }
    hooks.push({ event, command });
  }
  return hooks;
}

/** `rangesDone` becomes TLDR_RANGES_DONE. */
function variablesOf(event: MigrationEvent, facts: EventFacts): Record<string, string> {
  const name = (fact: string): string => `TLDR_${fact.replace(/[A-Z]/g, '_$&').toUpperCase()}`;
  const variables: Record<string, string> = { TLDR_EVENT: event };
  for (const [fact, value] of Object.entries(facts)) variables[name(fact)] = String(value);
  return variables;
}

function runHook(
  { event, command }: Hook,
  env: Readonly<Record<string, string>>,
  signal: AbortSignal,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const fail = (why: string): void =>
      reject(new TldrError('INVALID_ARGUMENT', `the command of --on ${event} ${why}: ${command}`));
    // A process group of its own, so that the processes it started end with it.
    const child = spawn('sh', ['-c', command], { env, stdio: ['ignore', 2, 2], detached: true });
    const end = (): void => {
      if (child.pid !== undefined && child.exitCode === null) process.kill(-child.pid, 'SIGKILL');
    };
    const timer = setTimeout(end, HOOK_TIMEOUT_MS);
    signal.addEventListener('abort', end, { once: true });
    child.once('error', (error) => {
      done();
      fail(`could not be run (${error.message})`);
    });
    child.once('exit', (code, killedBy) => {
      done();
      if (code === 0) resolve();
      else fail(code === null ? `was ended by ${killedBy ?? 'a signal'}` : `failed with exit code ${code}`);
    });
    const done = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', end);
    };
    if (signal.aborted) end();
  });
}
