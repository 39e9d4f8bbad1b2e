import { spawn } from 'node:child_process';
import xterm from '@xterm/headless';

const ROWS = 40;

/** Begins and ends each drawing of the progress display. */
const DRAWING = '\x1b[?2026h';
const DRAWN = '\x1b[?2026l';

/** Runs a program on a terminal of its own: relays its output, and its input to the program. */
const PTY = `
import fcntl, os, pty, select, struct, sys, termios
rows, columns = int(sys.argv[1]), int(sys.argv[2])
pid, fd = pty.fork()
if pid == 0:
    fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack('HHHH', rows, columns, 0, 0))
    os.execvp(sys.argv[3], sys.argv[3:])
inputs = [fd, 0]
while True:
    ready, _, _ = select.select(inputs, [], [])
    if 0 in ready:
        keys = os.read(0, 1024)
        if keys: os.write(fd, keys)
        else: inputs.remove(0)
    if fd in ready:
        try:
            chunk = os.read(fd, 65536)
        except OSError:
            chunk = b''
        if not chunk: break
        os.write(1, chunk)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
`;

/** What was on the terminal. */
export interface TerminalRun {
  readonly code: number | null;
  /** Lines of the terminal at the end, those that scrolled away included, without empty ones at the end. */
  readonly lines: readonly string[];
  /** The lines after each drawing of the progress display. */
  readonly frames: readonly (readonly string[])[];
  /** Whether a line was ever too long for the terminal. */
  readonly wrapped: boolean;
  /** Everything that was written, with its escape sequences. */
  readonly raw: string;
}

/**
 * Runs a program on a real terminal of this width, which is emulated to its last cell.
 * @param options.keys are typed once, as soon as `typeOn` matches the terminal's text
 * @param options.answers more of these, each after the one before
 */
export async function runInTerminal(
  command: readonly string[],
  options: {
    readonly columns: number;
    readonly cwd: string;
    readonly env?: Readonly<Record<string, string>>;
    readonly typeOn?: RegExp;
    readonly keys?: string;
    readonly answers?: readonly (readonly [question: RegExp, keys: string])[];
  },
): Promise<TerminalRun> {
  const { columns, cwd, env = {}, typeOn, keys = '' } = options;
  const answers = [...(typeOn === undefined ? [] : [[typeOn, keys] as const]), ...(options.answers ?? [])];
  const terminal = new xterm.Terminal({
    cols: columns,
    rows: ROWS,
    scrollback: 10_000,
    allowProposedApi: true,
  });
  const child = spawn('python3', ['-c', PTY, String(ROWS), String(columns), ...command], {
    cwd,
    env: { PATH: process.env['PATH'] ?? '', TERM: 'xterm-256color', LANG: 'C.UTF-8', ...env },
  });
  const frames: string[][] = [];
  let [raw, errors, wrapped] = ['', '', false];
  const show = async (text: string): Promise<void> => {
    await new Promise<void>((resolve) => terminal.write(text, resolve));
    wrapped ||= isWrapped(terminal);
    const lines = linesOf(terminal);
    if (text.endsWith(DRAWN)) frames.push(lines);
    const [answer] = answers;
    if (answer?.[0].test(lines.join('\n')) !== true) return;
    answers.shift();
    child.stdin.write(answer[1]);
  };
  let [shown, rest] = [Promise.resolve(), ''];
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    raw += chunk;
    const parts = (rest + chunk).split(DRAWN);
    rest = parts.pop() ?? '';
    for (const part of parts) shown = shown.then(() => show(part + DRAWN));
    // A question or a plain line is shown at once; a drawing that was cut off waits for its rest.
    if (!rest.includes(DRAWING) && !endsWithin(rest, DRAWING)) {
      const text = rest;
      rest = '';
      shown = shown.then(() => show(text));
    }
  });
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => (errors += chunk));
  child.stdin.on('error', () => undefined);
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  await shown;
  await show(rest);
  if (errors !== '') throw new Error(`the terminal failed: ${errors}`);
  return { code, lines: linesOf(terminal), frames, wrapped, raw };
}

/** Whether a text ends with the beginning of a sequence. */
function endsWithin(text: string, sequence: string): boolean {
  const at = text.lastIndexOf(sequence.slice(0, 1));
  return at >= 0 && sequence.startsWith(text.slice(at));
}

function linesOf(terminal: InstanceType<typeof xterm.Terminal>): string[] {
  const buffer = terminal.buffer.active;
  const lines = Array.from(
    { length: buffer.length },
    (_, i) => buffer.getLine(i)?.translateToString(true) ?? '',
  );
  while (lines.at(-1) === '') lines.pop();
  return lines;
}

function isWrapped(terminal: InstanceType<typeof xterm.Terminal>): boolean {
  const buffer = terminal.buffer.active;
  return Array.from({ length: buffer.length }, (_, i) => buffer.getLine(i)?.isWrapped ?? false).some(Boolean);
}
