import type { Config } from '../../config/load.js';
import type { Distance } from '../../core/distance.js';
import type { Encoder } from '../../encoder/model.js';
import { expectDefined, TldrError } from '../../core/errors.js';
import { checkMagnitude, gatherRows, type Matrix } from '../../core/matrix.js';
import { Rng } from '../../core/rng.js';
import { measureDrift, sampleOf, withDrift, type Drift } from '../../evaluate/drift.js';
import { judgeEncoder, type EncoderJudgement } from '../../evaluate/score-encoder.js';
import type { Relevance } from '../../evaluate/relevance.js';
import type { ConsoleRun } from '../console/command-output.js';
import type { EvaluateFlags } from './request.js';
import { readFiniteVectors } from '../../files/open-vectors.js';
import { checkReadMemory } from '../console/check-memory.js';
import { labelNumbers, readLabels, readQrels, readQueryVectors, rowDoc } from '../train/relevance-files.js';

const HELD_OUT_MAX = 1000;
const HELD_OUT_SHARE = 0.1;

type FileFlags = EvaluateFlags & { readonly base: string };

/** The scores of an encoder on files, and where the queries came from. */
export interface FileEvaluation {
  readonly judgement: EncoderJudgement;
  /** Null without --drift. */
  readonly drift: Drift | null;
  readonly queriesFrom: string;
}

interface Inputs {
  readonly base: Matrix;
  readonly queries: Matrix;
  readonly relevance: Relevance | undefined;
  readonly queriesFrom: string;
}

/** Judges an encoder on files, without a database. */
export async function evaluateFiles(
  encoder: Encoder,
  { flags, ks }: { readonly flags: FileFlags; readonly ks: readonly number[] },
  { run, config }: { readonly run: ConsoleRun; readonly config: Config },
): Promise<FileEvaluation> {
  if (flags.drift === true) sampleOf(encoder);
  const { queriesFrom, ...inputs } = await readInputs(encoder, flags, run.signal);
  const judgement = await judgeEncoder({
    ...inputs,
    encoder,
    ks,
    pca: flags.pca,
    seed: flags.seed,
    threads: config.threads,
    signal: run.signal,
    onProgress: run.onProgress,
  });
  if (flags.drift !== true) return { judgement, queriesFrom, drift: null };
  const held = flags.queries === undefined;
  const drift = measureDrift({
    encoder,
    vectors: inputs.queries,
    as: held ? 'points' : 'queries',
    of: held ? `rows of ${flags.base}` : `queries from ${flags.queries}`,
    isNew: null,
    perQuery: judgement.perQuery,
    k: judgement.headlineK,
    seed: flags.seed,
  });
  return { judgement: { ...judgement, spaces: withDrift(judgement.spaces, drift) }, queriesFrom, drift };
}

async function readInputs(encoder: Encoder, flags: FileFlags, signal: AbortSignal): Promise<Inputs> {
  const { base: path } = flags;
  const check = ({ rows, cols }: { readonly rows: number; readonly cols: number }): void => {
    if (rows < 2) throw new TldrError('INVALID_DATA', `${path} holds ${rows} vectors: expected at least 2`);
    if (cols !== encoder.inputDim)
      throw new TldrError(
        'MISMATCH',
        `${path} holds ${cols}-d vectors, the encoder expects ${encoder.inputDim}-d`,
      );
    checkReadMemory(path, { rows, cols });
  };
  const base = await readFiniteVectors(path, { column: flags.column, check, signal });
  const { distance } = encoder.metadata;
  // Checked before rows are held out, because they have other numbers afterwards.
  if (distance !== 'cosine') checkMagnitude(base, (i) => `row ${i} of ${path}`);
  return flags.queries === undefined
    ? holdOut(base, flags, signal)
    : withQueryFile(base, { ...flags, queries: flags.queries, distance }, signal);
}

async function withQueryFile(
  base: Matrix,
  flags: EvaluateFlags & { readonly queries: string; readonly distance: Distance },
  signal: AbortSignal,
): Promise<Inputs> {
  const { queries: path, distance } = flags;
  const queries = await readQueryVectors(
    path,
    { dim: base.cols, distance, column: flags.queryColumn },
    signal,
  );
  const queriesFrom = `${queries.rows.toLocaleString('en-US')} queries from ${path}`;
  const { labels, queryLabels, qrels } = flags;
  let relevance: Relevance | undefined;
  if (labels !== undefined && queryLabels !== undefined) {
    const numbers = labelNumbers(
      await readLabels(labels, base.rows, signal),
      await readLabels(queryLabels, queries.rows, signal),
    );
    relevance = { kind: 'labels', ...numbers };
  } else if (qrels !== undefined) {
    const gains = await readQrels(qrels, { queries: queries.rows, doc: rowDoc(base.rows) }, signal);
    relevance = { kind: 'qrels', gains };
  }
  return { base, queries, relevance, queriesFrom };
}

/** Takes random rows out of the base and uses them as queries. */
async function holdOut(all: Matrix, flags: FileFlags, signal: AbortSignal): Promise<Inputs> {
  const held = flags.sample ?? Math.min(HELD_OUT_MAX, Math.floor(all.rows * HELD_OUT_SHARE));
  if (held < 1 || held > all.rows / 2) {
    throw new TldrError(
      'INVALID_ARGUMENT',
      `cannot hold ${held} of ${all.rows} rows out as queries: expected 1 to ${Math.floor(all.rows / 2)}; give --sample or --queries`,
    );
  }
  const order = new Rng(flags.seed).permutation(all.rows);
  const [queryRows, baseRows] = [order.subarray(0, held), order.subarray(held)];
  let relevance: Relevance | undefined;
  if (flags.labels !== undefined) {
    const labels = await readLabels(flags.labels, all.rows, signal);
    const pick = (rows: Int32Array): string[] =>
      Array.from(rows, (row) => expectDefined(labels[row], 'the label of a row'));
    relevance = { kind: 'labels', ...labelNumbers(pick(baseRows), pick(queryRows)) };
  }
  return {
    base: gatherRows(all, baseRows),
    queries: gatherRows(all, queryRows),
    relevance,
    queriesFrom: `${held.toLocaleString('en-US')} random rows of ${flags.base}, taken out of it (the encoder may have learned from them)`,
  };
}
