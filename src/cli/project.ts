import { Command } from 'commander';
import { once } from 'node:events';
import { createReadStream, createWriteStream } from 'node:fs';
import { access, rename, rm } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import type { Writable } from 'node:stream';
import { Encoder } from '../core/encoder.js';
import { TldrError } from '../core/errors.js';
import { firstNonFiniteRow, matrixFromRows, row, type Matrix } from '../core/matrix.js';
import { throwIfAborted } from '../core/run.js';
import type { ConsoleRun } from './console-run.js';
import { openNpy, writeNpy } from './npy.js';
import { withConsole, withGlobalFlags, type GlobalFlags } from './options.js';
import { parseVectorLine } from './text-lines.js';

interface ProjectFlags extends GlobalFlags {
  readonly encoder: string;
  readonly input?: string;
  readonly out?: string;
  readonly force?: boolean;
  readonly dryRun?: boolean;
}

const BLOCK_ROWS = 2048;

/** `project`: vectors in, reduced vectors out, without a database. */
export function projectCommand(): Command {
  const command = new Command('project')
    .description('Project vectors through an encoder: .npy to .npy, or one JSON array per line.')
    .requiredOption('--encoder <file>', 'encoder file')
    .option('--input <file>', '.npy, or NDJSON (default: NDJSON from standard input)')
    .option('--out <file>', 'where to write (required for .npy; default: standard output)')
    .option('--force', 'replace an existing --out file')
    .option('--dry-run', 'check input and encoder, write nothing')
    .action((flags: ProjectFlags) => withConsole(flags, (run) => project(flags, run)));
  command.addHelpText(
    'after',
    `
Examples:
  qdrant-tldr project --encoder enc.onnx --input q.npy --out z.npy
  echo '[0.1, 0.2, ...]' | qdrant-tldr project --encoder enc.onnx`,
  );
  return withGlobalFlags(command, 'local');
}

async function project(flags: ProjectFlags, run: ConsoleRun): Promise<void> {
  const encoder = await Encoder.load(flags.encoder);
  const { out, input } = flags;
  if (out !== undefined && flags.force !== true) {
    const exists = await access(out).then(
      () => true,
      () => false,
    );
    if (exists)
      throw new TldrError('ALREADY_EXISTS', `${out} exists: choose another --out, or --force to replace it`);
  }
  const rows =
    input?.endsWith('.npy') === true
      ? await projectNpy(encoder, flags, run)
      : await projectLines(encoder, flags, run);
  run.result({
    rows,
    inputDim: encoder.inputDim,
    outputDim: encoder.outputDim,
    ...(out === undefined ? {} : { out }),
  });
}

async function projectNpy(
  encoder: Encoder,
  { input = '', out, dryRun }: ProjectFlags,
  run: ConsoleRun,
): Promise<number> {
  if (out === undefined)
    throw new TldrError('INVALID_ARGUMENT', '.npy input needs --out with the file to write');
  const file = await openNpy(input);
  try {
    const { rows, cols } = file;
    if (cols !== encoder.inputDim) {
      throw new TldrError(
        'MISMATCH',
        `${input} holds ${cols}-d vectors, the encoder expects ${encoder.inputDim}-d`,
      );
    }
    if (dryRun === true) {
      run.say(`dry run: would project ${rows} vectors and write ${out}`);
      return rows;
    }
    const blocks = async function* (): AsyncGenerator<Matrix> {
      for (let start = 0; start < rows; start += BLOCK_ROWS) {
        throwIfAborted(run.signal);
        const block = await file.read(start, Math.min(rows, start + BLOCK_ROWS));
        const bad = firstNonFiniteRow(block);
        if (bad >= 0)
          throw new TldrError('INVALID_DATA', `row ${start + bad} of ${input} holds NaN or infinity`);
        yield encoder.project(block);
        run.onProgress({ step: 'projecting', done: start + block.rows, total: rows, unit: 'vectors' });
      }
    };
    await writeNpy(out, { rows, cols: encoder.outputDim }, blocks());
    run.say(`projected ${rows} vectors, ${cols} -> ${encoder.outputDim}, into ${out}`);
    return rows;
  } finally {
    await file.close();
  }
}

async function projectLines(encoder: Encoder, flags: ProjectFlags, run: ConsoleRun): Promise<number> {
  const { input, out, dryRun } = flags;
  const source = input === undefined ? process.stdin : createReadStream(input);
  const partial = out === undefined ? undefined : `${out}.partial`;
  const target: Writable = partial === undefined ? process.stdout : createWriteStream(partial);
  let rows = 0;
  let waiting: number[][] = [];
  const flush = async (): Promise<void> => {
    if (waiting.length === 0) return;
    const z = encoder.project(matrixFromRows(waiting));
    waiting = [];
    if (dryRun === true) return;
    let text = '';
    for (let i = 0; i < z.rows; i++) text += `${JSON.stringify(Array.from(row(z, i)))}\n`;
    if (!target.write(text)) await once(target, 'drain');
  };
  try {
    for await (const line of createInterface({ input: source, crlfDelay: Infinity })) {
      if (line.trim() === '') continue;
      rows++;
      waiting.push(parseVectorLine(line, rows, encoder.inputDim));
      throwIfAborted(run.signal);
      if (waiting.length === BLOCK_ROWS) await flush();
    }
    await flush();
    if (partial !== undefined && out !== undefined) {
      await new Promise<void>((resolve, reject) => {
        target.once('error', reject);
        target.end(resolve);
      });
      if (dryRun === true) await rm(partial, { force: true });
      else await rename(partial, out);
      run.say(`projected ${rows} vectors, ${encoder.inputDim} -> ${encoder.outputDim}`);
    }
    return rows;
  } catch (error) {
    if (partial !== undefined) await rm(partial, { force: true });
    throw error;
  }
}
