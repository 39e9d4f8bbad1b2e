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
export function shellCommand({ command, names = [], flags }: ShellCommand): string {
  const given = flags.flatMap(([flag, value]) => {
    if (value === null) return [flag];
    const text = String(value);
    return text.startsWith('-') ? [`${flag}=${text}`] : [flag, text];
  });
  const dashed = names.some((name) => name.startsWith('-'));
  const words = dashed ? [...command, ...given, '--', ...names] : [...command, ...names, ...given];
  return ['qdrant-tldr', ...words].map(shellWord).join(' ');
}
