import { writeWhole } from '../core/write-file.js';
import { messageOf, TldrError } from '../core/errors.js';
import { checkFinite, matrixFromRows, row, rowsPerBlock, type Matrix } from '../core/matrix.js';
import { throwIfAborted } from '../core/run-options.js';
import type { ConsoleRun } from './console/command-output.js';
import { openInput, type Input } from '../files/input-stream.js';
import { parseVector } from '../files/json-vector.js';
import { linesOf } from '../files/text-lines.js';

const BLOCK_ROWS = 2048;

/** The error's words for a vector whose projection is not finite. */
export const TOO_LARGE = 'is too large to be projected';

/** Writes text; returns false if the reader is gone. */
type Sink = (text: string) => Promise<boolean>;

/** An encoder's map for points, or its map for queries. */
export interface LineProjection {
  readonly inputDim: number;
  readonly outputDim: number;
  readonly project: (x: Matrix) => Matrix;
}

/**
 * Projects JSON arrays line by line, from a file or standard input to a file or standard output.
 * @returns the number of vectors
 * @throws NOT_FOUND when the input cannot be read
 * @throws INVALID_DATA when a line is no vector of the encoder's dimension, naming the line
 * @throws INVALID_ARGUMENT when `out` cannot be written
 * @throws ABORTED as soon as the signal fires, even if the input never ends
 */
export async function projectLines(
  projection: LineProjection,
  paths: { readonly input: string | undefined; readonly out: string | undefined; readonly dryRun: boolean },
  run: ConsoleRun,
): Promise<number> {
  const source = await openInput(paths.input, run.signal);
  if (paths.dryRun) return transform(source, projection, { sink: () => Promise.resolve(true), run });
  if (paths.out === undefined) return transform(source, projection, { sink: toStandardOutput, run });
  let rows = 0;
  await writeWhole(paths.out, async (file) => {
    const sink: Sink = async (text) => {
      await file.writeFile(text);
      return true;
    };
    rows = await transform(source, projection, { sink, run });
  }).finally(() => source.stream.destroy());
  return rows;
}

function toStandardOutput(text: string): Promise<boolean> {
  return new Promise((resolve) => process.stdout.write(text, (error) => resolve(error == null)));
}

async function transform(
  source: Input,
  projection: LineProjection,
  { sink, run }: { sink: Sink; run: ConsoleRun },
): Promise<number> {
  let rows = 0;
  let waiting: number[][] = [];
  const flush = async (): Promise<boolean> => {
    if (waiting.length === 0) return true;
    const z = projection.project(matrixFromRows(waiting));
    const first = rows - waiting.length + 1;
    checkFinite(z, (i) => `vector ${first + i} of ${source.name}`, TOO_LARGE);
    waiting = [];
    let text = '';
    for (let i = 0; i < z.rows; i++) text += `${JSON.stringify(Array.from(row(z, i)))}\n`;
    return sink(text);
  };
  for await (const { line, number, doneShare } of measuredLines(source, run.signal)) {
    if (line.trim() === '') continue;
    waiting.push(parseVector(line, `line ${number}`, projection.inputDim));
    rows++;
    if (waiting.length >= rowsPerBlock(projection.inputDim, BLOCK_ROWS) && !(await flush())) return rows;
    const total = doneShare === null ? Infinity : Math.max(rows, Math.round(rows / doneShare));
    run.onProgress({ step: 'projecting', done: rows, total, unit: 'vectors' });
  }
  await flush();
  return rows;
}

/** Yields lines with their number, from 1. The stream is closed however the loop ends. */
async function* measuredLines(
  { name, stream, sizeBytes }: Input,
  signal: AbortSignal,
): AsyncGenerator<{ line: string; number: number; doneShare: number | null }> {
  let bytes = 0;
  const share = (): number | null => (sizeBytes === null ? null : Math.min(1, bytes / sizeBytes));
  async function* counted(): AsyncGenerator<Uint8Array> {
    for await (const chunk of stream as AsyncIterable<Uint8Array>) {
      bytes += chunk.length;
      yield chunk;
    }
  }
  try {
    for await (const { number, text } of linesOf(counted(), name))
      yield { line: text, number, doneShare: share() };
  } catch (cause) {
    if (cause instanceof TldrError) throw cause;
    throwIfAborted(signal);
    throw new TldrError('INVALID_DATA', `cannot read ${name}: ${messageOf(cause)}`, { cause });
  }
}
