import { THREADS } from '../../core/run-options.js';
import { Command, Option } from 'commander';
import { SAMPLE_POINTS } from '../../hyper-parameters/fit-of-candidates.js';
import { DISTANCES } from '../../core/distance.js';
import { NEIGHBOUR_SEARCHES } from '../../knn/neighbour-searches.js';
import { STORED_FORMS } from '../../store/collection.js';
import { decimal, seconds, seedNumber, wholeNumber, withGlobalFlags } from '../console/options.js';
import { namedTable, withTableFlags, type TableFlags } from '../console/table-flags.js';
import { withRelevanceFlags } from './relevance-flags.js';
import type { TrainFlags } from './run-train.js';
import { wrappedHelp } from '../console/help-groups.js';

const HELP = `
Reads   a random sample of the collection (--sample), or a .npy file (--input); it changes neither
Writes  the encoder file (--out), and if you ask for it a page of results (--report). While it runs, it keeps its
        state in a file beside --out (or in --checkpoint): after Ctrl-C or a crash, the same command goes on

Examples:
  qdrant-tldr train docs --dim 96 --out enc.onnx
  qdrant-tldr train docs --dim 96 --out enc.onnx --budget 10m
  qdrant-tldr train postgres://app@localhost/app --table docs --column embedding --dim 96 --out enc.onnx
  qdrant-tldr train --input base.npy --dim 64 --out enc.onnx
  qdrant-tldr train docs --dim 96 --out enc.onnx --queries real-queries.npy --report report.html
  qdrant-tldr train --input base.npy --dim 64 --out enc.onnx --objective relevance --labels labels.npy
  qdrant-tldr train docs --dim 96 --out enc.onnx --objective relevance --labels-field topic
  qdrant-tldr train docs --dim 96 --out enc.onnx --objective relevance --queries q.npy --qrels clicks.tsv
  qdrant-tldr train docs --dim 96 --out enc.onnx --labels-field topic,author
  qdrant-tldr train docs --dim 192 --out enc.onnx --for scalar
  qdrant-tldr train docs --dim 96 --out enc.onnx --preset reference --ship tldr
  qdrant-tldr train docs --dim 96 --out new.onnx --from enc.onnx

A candidate is an encoder that competes, PCA among them. The table compares all candidates on held-out rows:
  recall@10        share of the true ten nearest neighbours that are among the first ten results
  R10@30, R10@100  share that is among the first 30 and 100 results, where rescoring can find it
  confirmed        the same figure on rows that took no part in the choice
  unseen groups    recall@10 of groups of vectors that nothing was fitted to
The best candidate is saved, unless --ship names another one. If two candidates tie, the cheaper one is saved.

Payload fields that look like labels (or those of --labels-field) are measured beside the choice, which does not
see them. A second table shows what every candidate and the full vectors reach by them.

With --for, recall is that of the stored codes, and the compact space is rotated so that these find more.

With 90 or more --queries of a cosine or dot-product space, a third of them trains four more candidates. In
neighbourhood-kl-queries and neighbourhood-kl-residual-queries, points and queries share one map.
leanvec-sphering and leanvec-sphering-0.1 (which trusts the queries more) have one map for points and another
for queries.

Training ends within --budget on any machine, and saves the best candidate so far. It ends earlier if recall on the
held-out queries no longer rises. For the same encoder each time, give --deterministic, or settings of your own
such as --steps: then the clock decides nothing.

--loss, --preset and the other training settings replace the planned trainings by a single one of your own.

Documentation: docs/train.md (how it chooses), docs/quality.md (candidates), docs/evaluate.md (labels, qrels,
queries), docs/encoder-file.md`;

/** `train`: learn an encoder from a collection or a file. */
export function trainCommand(): Command {
  const command = new Command('train')
    .description(
      'Learn a dimension-reducing encoder from a collection (or a file of vectors) and save the best candidate.',
    )
    .argument('[collection]', 'collection or table to learn from; omit it with --input')
    .requiredOption('--dim <n>', 'dimensions of the compact space', wholeNumber)
    .requiredOption('--out <file>', 'encoder file to write, for example enc.onnx')
    .option('--input <file>', 'learn from a .npy or .parquet file instead of a collection')
    .option(
      '--column <name>',
      'the column of vectors: of a table, or of a Parquet file in --input, if there are several',
    )
    .addOption(new Option('--distance <name>', 'distance of the --input vectors').choices([...DISTANCES]))
    .option('--vector <name>', 'vector to reduce, if the collection has several')
    .option('--sample <n>', 'points to learn from', wholeNumber, SAMPLE_POINTS)
    .option('--seed <n>', 'seed of everything random', seedNumber, 0)
    .option('--auto', 'train every candidate within --budget and save the best (the default)')
    .option('--budget <time>', 'time in which training ends, such as 90s, 2m or 1h (default: 4m)', seconds)
    .option(
      '--deterministic',
      'let the seed alone decide, not the clock: --budget (then 2m) is a plan, no deadline',
    )
    .option('--from <file>', 'go on from this encoder file, in a part of the time, and compare both')
    .option('--ship <name>', 'candidate to save: best, or a name from the table', 'best')
    .option(
      '--queries <file>',
      'real query vectors that measure recall, instead of held-out rows: .npy, .parquet, or one JSON array per line',
    )
    .option(
      '--held-out <n>',
      'rows kept out of training, to measure recall (default: 15 %, at most 1,500)',
      wholeNumber,
    )
    .addOption(
      new Option('--compact-distance <name>', 'distance of the compact space').choices([
        'auto',
        'cosine',
        'dot',
        'euclid',
      ]),
    )
    .addOption(
      new Option(
        '--neighbours <how>',
        'how nearest neighbours for training are found: exact compares all pairs, hnsw builds a graph (its recall stands in the report)',
      ).choices([...NEIGHBOUR_SEARCHES]),
    )
    .addOption(
      new Option(
        '--for <storage>',
        'how the compact vectors will be stored (migrate --datatype, --quantization): candidates are scored in that form',
      ).choices([...STORED_FORMS]),
    )
    .option('--no-refit', 'save the encoder as it was measured, without a second fit to all rows');
  addOutputFlags(command);
  withRelevanceFlags(command, {
    labels: 'one label per row of --input, or lines id<TAB>label for a collection',
    fields: ', or several with commas; for fidelity, which only measures them, also auto (default) or none',
    documents: 'point ids, or by rows of --input',
  });
  addTrainingFlags(command).action(async (named: string | undefined, flags: TrainFlags & TableFlags) => {
    const { collection, way } = namedTable(named, flags);
    await (await import('./run-train.js')).runTrain(collection, { ...flags, ...way });
  });
  command.addHelpText('after', () => wrappedHelp(HELP));
  return withGlobalFlags(withTableFlags(command, { hasColumn: true }));
}

/** Adds what is written beside the encoder, and how. */
function addOutputFlags(command: Command): void {
  command
    .option('--report <file>', 'write a self-contained HTML report')
    .option(
      '--color-by <field>',
      "payload field that colours the report's map, auto (default: one that suits) or none",
    )
    .option(
      '--checkpoint <file>',
      'file for the training state that stays; if it exists, training continues from it (default: one beside --out, removed at the end)',
    )
    .option('--force', 'replace existing --out and --report files')
    .option('--dry-run', 'check everything and write nothing')
    .option('--threads <n>', `threads (default: ${THREADS})`, wholeNumber);
}

/** Adds the training settings; any of them replaces the planned trainings by a single one. */
function addTrainingFlags(command: Command): Command {
  return command
    .addOption(
      new Option(
        '--loss <name>',
        'neighbourhood-kl: the fidelity loss; barlow-twins: the loss of TLDR',
      ).choices(['neighbourhood-kl', 'barlow-twins']),
    )
    .addOption(
      new Option('--preset <name>', 'reference: the published settings of TLDR').choices(['reference']),
    )
    .option('--encoder <form>', 'linear, residual-WIDTH, flinear-LAYERS-WIDTH or mlp-LAYERS-WIDTH')
    .option('--projector <form>', 'network that only the loss uses: none or mlp-LAYERS-WIDTH (barlow-twins)')
    .addOption(new Option('--optimizer <name>', 'how the weights are updated').choices(['adam', 'lars']))
    .option('--lr <rate>', 'peak learning rate', decimal)
    .addOption(new Option('--epochs <n>', 'passes over the sample').argParser(decimal).conflicts('steps'))
    .option('--steps <n>', 'training steps, instead of epochs', wholeNumber)
    .option('--batch <n>', 'pairs (barlow-twins) or rows (neighbourhood-kl) per step', wholeNumber)
    .option('--k <n>', 'nearest neighbours of each row that training uses', wholeNumber)
    .option('--lambda <x>', 'weight of the off-diagonal terms (barlow-twins)', decimal)
    .option(
      '--perplexity <x>',
      'effective number of neighbours; sets the temperature (neighbourhood-kl)',
      decimal,
    )
    .addOption(
      new Option('--init <how>', 'weights that a linear or residual encoder starts from').choices([
        'pca',
        'random',
      ]),
    )
    .addOption(
      new Option('--engine <name>', 'what runs the training; onnx: native, tfjs: TensorFlow.js').choices([
        'onnx',
        'tfjs',
      ]),
    )
    .addOption(
      new Option(
        '--device <name>',
        'what the engine computes on (default: cpu; for tfjs what its fastest installed package has)',
      ).choices(['cpu', 'cuda']),
    )
    .option('--engine-fallback', 'if the engine or device does not work, take the fastest that does');
}
