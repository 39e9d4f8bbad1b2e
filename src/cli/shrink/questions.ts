import { expectDefined, TldrError } from '../../core/errors.js';
import { interruptedError } from '../console/interruption.js';

/** Returns whether there is a terminal to ask at. */
export function canAsk(): boolean {
  return process.stdin.isTTY && process.stderr.isTTY;
}

/** An answer that the user can pick. */
interface Answer<Value extends string> {
  readonly value: Value;
  readonly label: string;
  readonly hint: string;
}

/** Lets the user pick one of the answers. @throws ABORTED after Ctrl-C */
export async function askWhich<Value extends string>(
  question: string,
  {
    answers,
    first,
    signal,
  }: {
    readonly answers: readonly Answer<Value>[];
    readonly first: Value;
    readonly signal: AbortSignal;
  },
): Promise<Value> {
  const { isCancel, select } = await import('@clack/prompts');
  const answer = await select<string>({
    message: question,
    options: answers.map(({ value, label, hint }) => ({ value, label, hint })),
    initialValue: first,
    output: process.stderr,
    signal,
  });
  if (isCancel(answer)) throw stopped();
  return expectDefined(
    answers.find(({ value }) => value === answer),
    'the answer',
  ).value;
}

/** Lets the user type a name. @throws ABORTED after Ctrl-C */
export async function askName(
  question: string,
  { proposed, signal }: { readonly proposed: string | undefined; readonly signal: AbortSignal },
): Promise<string> {
  const { isCancel, text } = await import('@clack/prompts');
  const answer = await text({
    message: question,
    ...(proposed === undefined ? {} : { initialValue: proposed }),
    validate: (typed) => ((typed ?? '').trim() === '' ? 'a name is needed' : undefined),
    output: process.stderr,
    signal,
  });
  if (isCancel(answer)) throw stopped();
  return answer.trim();
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
