import { Argument, Command } from 'commander';
import { SCRIPTS, SHELLS, type Shell } from './scripts.js';
import { suggestedWords } from './suggest-words.js';
import { wrappedHelp } from '../console/help-groups.js';

const HELP = `
Reads   nothing
Writes  nothing

Examples:
  echo 'eval "$(qdrant-tldr completion bash)"' >> ~/.bashrc
  echo 'eval "$(qdrant-tldr completion zsh)"' >> ~/.zshrc
  qdrant-tldr completion fish > ~/.config/fish/completions/qdrant-tldr.fish

Documentation: docs/cli.md`;

/** `completion`: prints the script that completes commands, flags and their values in a shell. */
export function completionCommand(): Command {
  return new Command('completion')
    .description('Print the script that completes commands and flags in your shell.')
    .addArgument(new Argument('<shell>', 'the shell').choices(SHELLS))
    .action((shell: Shell) => console.log(SCRIPTS[shell]))
    .addHelpText('after', () => wrappedHelp(HELP));
}

/** `complete`: what those scripts call. It prints words for the last one, one per line. */
export function suggestWordsCommand(program: () => Command): Command {
  return new Command('complete')
    .argument('[words...]', 'words of the command line, the last one unfinished')
    .action((words: string[]) => {
      for (const word of suggestedWords(program(), words)) console.log(word);
    });
}
