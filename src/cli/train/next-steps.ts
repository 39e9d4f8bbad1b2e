import { storageOf } from '../../plan/sizing-row.js';
import type { PageStep } from '../../report/input.js';
import type { StorageKind } from '../../store/collection.js';
import {
  besideLine,
  clientsLine,
  clientsText,
  evaluationLine,
  nextCommand,
  projectStep,
} from '../console/next-commands.js';
import type { GlobalFlags } from '../console/options.js';
import { shellCommand } from '../console/shell-command.js';
import { targetName } from '../console/target-name.js';

/** The flags of a training that its next steps depend on. */
interface TrainedFlags extends GlobalFlags {
  readonly dim: number;
  readonly out: string;
  readonly input?: string;
  readonly column?: string;
  readonly vector?: string;
  readonly for?: StorageKind;
}

/** What can be done after a training: migrate and compare, or, after a training on a file, judge and project. */
export function stepsAfterTraining(
  collection: string | undefined,
  flags: TrainedFlags,
  url: string,
): PageStep[] {
  const { out, dim, input = '', column } = flags;
  const encoder = ['--encoder', out] as const;
  if (collection === undefined) {
    const ofColumn = column === undefined ? [] : [['--column', column] as const];
    const report = ['--report', 'evaluation.html'] as const;
    return [
      {
        text: 'Judge the encoder on the file, beside PCA.',
        commands: [
          shellCommand({ command: ['evaluate'], flags: [encoder, ['--base', input], ...ofColumn, report] }),
        ],
      },
      { text: 'Project the vectors.', commands: [projectStep({ input, column, dim, encoder: out })] },
    ];
  }
  const target = targetName(collection, `_${dim}`);
  const made = { source: collection, target, encoderFile: out };
  return [
    {
      text: 'Copy the collection into one that is searched by compact vectors and keeps the full ones on disk. Nothing changes for clients.',
      commands: [copyStep(collection, flags)],
    },
    {
      text: 'Compare both collections, with example queries.',
      commands: [nextCommand(flags, evaluationLine(made, [['--report', 'evaluation.html']]))],
    },
    {
      text: clientsText(made, url),
      commands: [nextCommand(flags, clientsLine(made, url))],
    },
  ];
}

/** Returns the command that writes compact vectors beside the full ones of a table. */
export function besideStep(table: string, flags: TrainedFlags): string {
  const { out, vector } = flags;
  const made = { source: table, target: table, encoderFile: out, vectorName: vector };
  return nextCommand(flags, besideLine(made));
}

/** Returns the command that copies the collection, with the storage that the encoder was trained for. */
export function copyStep(collection: string, flags: TrainedFlags): string {
  const { out, dim, vector } = flags;
  const { datatype, quantization } = storageOf(flags.for ?? 'float32');
  return nextCommand(flags, {
    command: ['migrate', 'start'],
    names: [collection, targetName(collection, `_${dim}`)],
    flags: [
      ['--encoder', out],
      ['--layout', 'two-stage'],
      ...(vector === undefined ? [] : [['--vector', vector] as const]),
      ...(datatype === 'float32' ? [] : [['--datatype', datatype] as const]),
      ...(quantization === 'none' ? [] : [['--quantization', quantization] as const]),
    ],
  });
}
