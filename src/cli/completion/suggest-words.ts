import type { Command, Option } from 'commander';

/** The command that `migrate` means without one. */
const DEFAULT_COMMAND = 'start';

/**
 * Returns what may stand in place of the last word, which may be empty. An empty list means that the shell completes
 * files.
 * @param words of the command line, without the program's name
 */
export function suggestedWords(program: Command, words: readonly string[]): string[] {
  const [typed, current] = [words.slice(0, -1), words.at(-1) ?? ''];
  const { command, given, awaiting, isPositional, namesOnly } = readWords(program, typed);
  if (awaiting !== null) return choicesOf(awaiting).filter((choice) => choice.startsWith(current));
  if (namesOnly) return [];
  const [, flag, value] = /^(--[^=]+)=(.*)$/s.exec(current) ?? [];
  if (flag !== undefined && value !== undefined) {
    const option = optionOf(command, flag);
    const choices = option === null ? [] : choicesOf(option);
    return choices.filter((choice) => choice.startsWith(value)).map((choice) => `${flag}=${choice}`);
  }
  if (current.startsWith('-'))
    return [...optionsOf(command), '--help']
      .filter((name) => name.startsWith(current) && !given.has(name))
      .sort();
  if (isPositional) return [];
  return command
    .createHelp()
    .visibleCommands(command)
    .map((one) => one.name())
    .filter((name) => name.startsWith(current));
}

interface ReadWords {
  /** The command that the words lead to. */
  readonly command: Command;
  /** Flags that were given. */
  readonly given: ReadonlySet<string>;
  /** The flag whose value the next word is; null for none. */
  readonly awaiting: Option | null;
  /** Whether names were given, so that no command follows. */
  readonly isPositional: boolean;
  /** Whether two dashes ended the flags. */
  readonly namesOnly: boolean;
}

function readWords(program: Command, typed: readonly string[]): ReadWords {
  const given = new Set<string>();
  let [command, isPositional, namesOnly] = [program, false, false];
  let awaiting: Option | null = null;
  for (const word of typed) {
    if (awaiting !== null) awaiting = null;
    else if (word === '--') namesOnly = true;
    else if (word.startsWith('-') && !namesOnly) {
      const [name = ''] = word.split('=');
      given.add(name);
      const option = optionOf(command, name);
      awaiting = option !== null && (option.required || option.optional) && name === word ? option : null;
    } else {
      const sub: Command | undefined = isPositional ? undefined : named(command, word);
      if (sub === undefined) isPositional = true;
      command = sub ?? named(command, DEFAULT_COMMAND) ?? command;
    }
  }
  return { command, given, awaiting, isPositional, namesOnly };
}

function named({ commands }: Command, name: string): Command | undefined {
  return commands.find((one) => one.name() === name || one.aliases().includes(name));
}

function optionOf({ options }: Command, name: string): Option | null {
  return options.find(({ long, short }) => long === name || short === name) ?? null;
}

function optionsOf({ options }: Command): string[] {
  return options.flatMap(({ long, hidden }) => (hidden || typeof long !== 'string' ? [] : [long]));
}

function choicesOf({ argChoices }: Option): readonly string[] {
  return argChoices ?? [];
}
