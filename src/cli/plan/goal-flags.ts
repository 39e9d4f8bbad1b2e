import { InvalidArgumentError, Option, type Command } from 'commander';
import { TldrError } from '../../core/errors.js';
import { parseMemory } from '../../plan/memory-budgets.js';
import { parseTarget } from '../../plan/sizing-row.js';

/** What to pick by: a recall to reach, or an amount of memory. */
export function addGoalFlags(command: Command): void {
  command
    .addOption(
      new Option(
        '--target <condition>',
        'pick the cheapest configuration that reaches this, for example "recall@10>=0.97"',
      ).argParser((text: string) => parsed(() => parseTarget(text))),
    )
    .addOption(
      new Option(
        '--ram <amount>',
        'pick the configuration with the best recall in this memory, for example 8GB (vectors or codes, and the graph)',
      )
        .argParser((text: string) => parsed(() => parseMemory(text)))
        .conflicts('target'),
    );
}

function parsed<T>(parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    throw error instanceof TldrError ? new InvalidArgumentError(error.message) : error;
  }
}
