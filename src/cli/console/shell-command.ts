/** Characters that no POSIX shell gives a meaning where they stand here. */
const PLAIN = /^(?:--[\w-]+=)?[\w./:@%+,-]+$/;

/** A word as a POSIX shell reads it back, whatever it holds. */
export function shellWord(word: string): string {
  return PLAIN.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}

/** A command of this program, in the parts that a user's names may stand in. */
export interface ShellCommand {
  /** For example `migrate`, `start`. */
  readonly command: readonly string[];
  /** What the user named, in order. */
  readonly names?: readonly string[];
  /** Flags with their values; null for a flag without one. */
  readonly flags: readonly (readonly [flag: string, value: string | number | null])[];
}

/**
 * A command to be pasted into a shell. Names that begin with a dash stand behind `--`, and a value that begins with
 * one stands in one word with its flag: neither is taken for a flag.
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
