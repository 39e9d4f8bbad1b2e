import { TldrError } from '../core/errors.js';
import { checkFinite, rowsPerBlock, type Matrix } from '../core/matrix.js';
import { throwIfAborted } from '../core/run-options.js';
import type { ConsoleRun } from './console/command-output.js';
import { writeNpy } from '../files/npy.js';
import { openVectors } from '../files/open-vectors.js';
import { checkColumn, isParquet, isVectorFile } from '../files/vector-file-names.js';
import { withConsole } from './console/command-body.js';
import type { GlobalFlags } from './console/options.js';
import { sameCommandWithout } from './console/next-commands.js';
import { checkOutput } from './console/check-output.js';
import { projectLines, TOO_LARGE, type LineProjection } from './project-lines.js';
import { Encoder } from '../encoder/model.js';

export interface ProjectFlags extends GlobalFlags {
  readonly encoder: string;
  readonly input?: string;
  readonly column?: string;
  readonly out?: string;
  readonly asQueries?: boolean;
  readonly force?: boolean;
  readonly dryRun?: boolean;
}

const BLOCK_ROWS = 2048;

/** Runs `project`. */
export function runProject(flags: ProjectFlags): Promise<void> {
  return withConsole(flags, (run) => projectFile(withStreams(flags), run));
}

/** Treats a dash like a missing flag: both mean the standard stream. */
function withStreams({ input, out, ...flags }: ProjectFlags): ProjectFlags {
  return {
    ...flags,
    ...(input === undefined || input === '-' ? {} : { input }),
    ...(out === undefined || out === '-' ? {} : { out }),
  };
}

async function projectFile(flags: ProjectFlags, run: ConsoleRun): Promise<void> {
  const encoder = await Encoder.load(flags.encoder);
  const { out, input } = flags;
  const dryRun = flags.dryRun === true;
  if (out !== undefined) await checkOutput(out, { force: flags.force === true, dryRun });
  checkColumn('--column', flags.column, [input, out]);
  const table = input !== undefined && isVectorFile(input);
  if (!table && out !== undefined && isVectorFile(out)) {
    throw new TldrError(
      'INVALID_ARGUMENT',
      `${out}: lines of JSON cannot become .npy or .parquet; give such a file as --input, or --out another ending`,
    );
  }
  const { inputDim, outputDim } = encoder;
  const projection: LineProjection = {
    inputDim,
    outputDim,
    project: (x) => (flags.asQueries === true ? encoder.projectQueries(x) : encoder.project(x)),
  };
  if (!encoder.symmetric && flags.asQueries !== true)
    run.log('warn', 'projecting as points: this encoder has another map for queries; --as-queries uses it');
  const rows = table
    ? await projectTable(projection, flags, run)
    : await projectLines(projection, { input, out, dryRun }, run);
  // Without --out, standard output carries the vectors.
  if (dryRun || out !== undefined) {
    const where = out === undefined ? '' : ` into ${out}`;
    const did = dryRun ? 'dry run: would project' : 'projected';
    run.say(`${did} ${rows} vectors, ${inputDim} -> ${outputDim}${dryRun ? '; nothing was written' : where}`);
  }
  if (dryRun) run.next([sameCommandWithout('--dry-run')]);
  run.result({
    ...(dryRun ? { dryRun } : {}),
    rows,
    inputDim,
    outputDim,
    ...(out === undefined ? {} : { out }),
  });
}

async function projectTable(
  { inputDim, outputDim, project }: LineProjection,
  { input = '', column, out, dryRun }: ProjectFlags,
  run: ConsoleRun,
): Promise<number> {
  if (out === undefined)
    throw new TldrError('INVALID_ARGUMENT', '.npy and .parquet input need --out with the file to write');
  const file = await openVectors(input, column);
  try {
    const { rows, cols } = file;
    if (cols !== inputDim) {
      throw new TldrError('MISMATCH', `${input} holds ${cols}-d vectors, the encoder expects ${inputDim}-d`);
    }
    const blocks = async function* (): AsyncGenerator<Matrix> {
      const blockRows = rowsPerBlock(cols, BLOCK_ROWS);
      for (let start = 0; start < rows; start += blockRows) {
        throwIfAborted(run.signal);
        const block = await file.read(start, Math.min(rows, start + blockRows));
        const name = (i: number): string => `row ${start + i} of ${input}`;
        checkFinite(block, name);
        const z = project(block);
        checkFinite(z, name, TOO_LARGE);
        yield z;
        run.onProgress({ step: 'projecting', done: start + block.rows, total: rows, unit: 'vectors' });
      }
    };
    if (dryRun === true) await drain(blocks());
    else if (isParquet(out)) {
      const { writeParquet } = await import('../files/write-parquet.js');
      await writeParquet(out, { rows, column: column ?? 'vector' }, blocks());
    } else await writeNpy(out, { rows, cols: outputDim }, blocks());
    return rows;
  } finally {
    await file.close();
  }
}

/** Reads all blocks and keeps none, so that a dry run checks every row. */
async function drain(blocks: AsyncGenerator<Matrix>): Promise<void> {
  while ((await blocks.next()).done !== true);
}
