import { TldrError } from '../../core/errors.js';
import type { ProposalName } from '../../plan/proposals.js';
import { interruptedError } from '../console/interruption.js';

/** Returns whether there is a terminal to ask at. */
export function canAsk(): boolean {
  return process.stdin.isTTY && process.stderr.isTTY;
}

/** An answer that the user can pick. */
interface Answer {
  readonly value: ProposalName;
  readonly label: string;
  readonly hint: string;
}

/** Lets the user pick one of the answers. @throws ABORTED after Ctrl-C */
export async function askWhich(
  question: string,
  {
    answers,
    first,
    signal,
  }: {
    readonly answers: readonly Answer[];
    readonly first: ProposalName;
    readonly signal: AbortSignal;
  },
): Promise<ProposalName> {
  const { isCancel, select } = await import('@clack/prompts');
  const answer = await select<ProposalName>({
    message: question,
    options: answers.map((one) => ({ ...one })),
    initialValue: first,
    output: process.stderr,
    signal,
  });
  if (isCancel(answer)) throw stopped();
  return answer;
}

/** Asks a question that the user can answer with no without stopping the run. @throws ABORTED after Ctrl-C */
export async function askWhether(question: string, signal: AbortSignal): Promise<boolean> {
  const { confirm, isCancel } = await import('@clack/prompts');
  const answer = await confirm({ message: question, initialValue: false, output: process.stderr, signal });
  if (isCancel(answer)) throw stopped();
  return answer;
}

function stopped(): TldrError {
  return interruptedError(new TldrError('ABORTED', 'stopped at a question'));
}
