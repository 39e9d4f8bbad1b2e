import type { Command } from 'commander';

/** Words that a POSIX shell reads as they are, without quotes. */
const PLAIN = /^(?:--[\w-]+=)?[\w./:@%+,-]+$/;

/** Returns the word, quoted if need be, so that a POSIX shell reads it back unchanged. */
export function shellWord(word: string): string {
  return PLAIN.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}

/** A command of this program, with the names and values that the user gave. */
export interface ShellCommand {
  /** For example `migrate`, `start`. */
  readonly command: readonly string[];
  /** Collections that the user named, in order. */
  readonly names?: readonly string[];
  /** Flags with their values; null for a flag without one. */
  readonly flags: readonly (readonly [flag: string, value: string | number | null])[];
}

/**
 * Returns a command line to paste into a shell. If a name begins with a dash, all names follow `--`. If a
 * value begins with a dash, `=` joins it to its flag. So neither is read as a flag.
 */
export function shellCommand(line: ShellCommand): string {
  return ['qdrant-tldr', ...line.command, ...argumentsOf(line)].map(shellWord).join(' ');
}

/**
 * Returns what a command's own definition reads from a command line, with its defaults. So a command that is shown to
 * the user can run in this process, exactly as the shell would run it.
 * @param define returns the definition with an action that hands its flags to `give`
 */
export function readFlags<Flags>(
  line: ShellCommand,
  define: (give: (flags: Flags) => void) => Command,
): Promise<Flags> {
  return new Promise((resolve) => {
    define(resolve).exitOverride().parse(argumentsOf(line), { from: 'user' });
  });
}

function argumentsOf({ names = [], flags }: ShellCommand): string[] {
  const given = flags.flatMap(([flag, value]) => {
    if (value === null) return [flag];
    const text = String(value);
    return text.startsWith('-') ? [`${flag}=${text}`] : [flag, text];
  });
  const dashed = names.some((name) => name.startsWith('-'));
  return dashed ? [...given, '--', ...names] : [...names, ...given];
}
