import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { TldrError, type Hint } from '../../core/errors.js';
import type { RunOptions } from '../../core/run-options.js';
import type { EngineChoice, EngineReport } from './engine-report.js';

/** What the check found. */
export interface EngineCheck {
  readonly report: EngineReport;
  /** Why another backend or device takes the place of the one that was asked for; null if none does. */
  readonly fellBack: string | null;
}

/** What the process of the check sends: what it found, or an error. */
type Answer =
  | EngineCheck
  | { readonly message: string; readonly fields: { readonly hint?: Hint; readonly [name: string]: unknown } };

/** Longest part of a native library's own words in an error. */
const WORDS_MAX = 300;

const checked = new Map<string, EngineCheck>();

/** Whether this is the engine that comes with the package: onnxruntime-node on the processor. */
function isDefault({ engine = 'onnx', device = 'cpu' }: EngineChoice): boolean {
  return engine === 'onnx' && device === 'cpu';
}

/**
 * Tries the engine and device, before there is work that could be lost. The default engine needs no check.
 * @returns what will run the training; null for the default engine
 * @throws UNSUPPORTED when it is not installed or does not work
 * @throws ABORTED when the signal fires
 */
export async function checkEngine(
  choice: EngineChoice,
  { signal, log }: RunOptions = {},
): Promise<EngineReport | null> {
  if (isDefault(choice)) return null;
  const { engine = 'onnx', device, engineFallback = false } = choice;
  const key = JSON.stringify([engine, device, engineFallback]);
  const known = checked.get(key);
  if (known !== undefined) return known.report;
  const asked = { engine, engineFallback, ...(device === undefined ? {} : { device }) };
  const found = await checkInProcess(asked, signal);
  checked.set(key, found);
  if (found.fellBack !== null)
    log?.('warn', `the engine ${engine} runs with ${found.report.backend}: ${found.fellBack}`);
  return found.report;
}

function checkInProcess(choice: EngineChoice, signal?: AbortSignal): Promise<EngineCheck> {
  return new Promise((resolve, reject) => {
    const aborted = (): TldrError => new TldrError('ABORTED', 'stopped before it was finished');
    if (signal?.aborted === true) {
      reject(aborted());
      return;
    }
    const file = fileURLToPath(new URL('./engine-check-worker.js', import.meta.url));
    const child = fork(file, { stdio: ['ignore', 'ignore', 'pipe', 'ipc'] });
    let words = '';
    child.stderr?.setEncoding('utf8').on('data', (text: string) => (words = (words + text).slice(-10_000)));
    const onAbort = (): void => void child.kill('SIGKILL');
    signal?.addEventListener('abort', onAbort, { once: true });
    let answer: Answer | null = null;
    child.on('message', (message: Answer) => {
      answer = message;
      // The threads of its native libraries could keep it.
      child.kill('SIGKILL');
    });
    child.on('error', reject);
    // All output has been read by then.
    child.on('close', (code, killedBy) => {
      signal?.removeEventListener('abort', onAbort);
      if (signal?.aborted === true) reject(aborted());
      else if (answer === null) reject(endedEarly(choice, killedBy ?? `exit code ${String(code)}`, words));
      else if ('report' in answer) resolve(answer);
      else reject(new TldrError('UNSUPPORTED', answer.message + reasonIn(words), answer.fields));
    });
    child.send(choice);
  });
}

/** A provider of ONNX Runtime that does not load says why on standard error alone. */
function reasonIn(words: string): string {
  const reason = [...words.matchAll(/with error: ([^\n]+)/g)].at(-1)?.[1];
  return reason === undefined ? '' : `: ${reason.slice(0, WORDS_MAX)}`;
}

function endedEarly({ engine }: EngineChoice, how: string, words: string): TldrError {
  const last = words.trim().split('\n').at(-1) ?? '';
  return new TldrError(
    'UNSUPPORTED',
    `the process that tried the engine ${String(engine)} ended with ${how}${last === '' ? '' : `: ${last.slice(0, WORDS_MAX)}`}`,
    engine === 'tfjs' ? { hint: 'install-tensorflow' } : { hint: 'install-cuda-provider' },
  );
}
