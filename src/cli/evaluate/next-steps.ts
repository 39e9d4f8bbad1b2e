import type { PageStep } from '../../report/input.js';
import type { Layout } from '../../store/collection.js';
import {
  clientsLine,
  clientsText,
  evaluationLine,
  nextCommand,
  projectStep,
} from '../console/next-commands.js';
import { shellCommand } from '../console/shell-command.js';
import { targetName } from '../console/target-name.js';
import type { EvaluateFlags } from './request.js';

type Flags = readonly (readonly [string, string | number | null])[];

/** What can be done after two collections were compared, depending on whether the target is good enough. */
export function stepsAfterComparison(
  compared: {
    readonly source: string;
    readonly target: string;
    readonly layout: Layout;
    /** The vector of the source that was reduced. */
    readonly vector: string;
    readonly isMigrated: boolean;
  },
  { flags, url, isGood }: { readonly flags: EvaluateFlags; readonly url: string; readonly isGood: boolean },
): PageStep[] {
  const { source, target, layout, vector, isMigrated } = compared;
  const encoder = ['--encoder', flags.encoder] as const;
  const made = { source, target, isMigrated, encoderFile: flags.encoder };
  const ofVector: Flags = vector === '' ? [] : [['--vector', vector]];
  if (!isGood) {
    return [
      ...(layout === 'two-stage'
        ? []
        : [
            {
              text: 'Keep the full vectors beside the compact ones, and let them order the results. Search then finds nearly as much as before, at the same RAM.',
              commands: [
                nextCommand(flags, {
                  command: ['migrate', 'start'],
                  names: [source, targetName(source, '_two_stage')],
                  flags: [encoder, ['--layout', 'two-stage'], ...ofVector],
                }),
              ],
            },
          ]),
      {
        text: 'Measure which size and storage reach the recall that you need.',
        commands: [
          nextCommand(flags, {
            command: ['plan'],
            names: [source],
            flags: [...ofVector, ['--target', 'recall@10>=0.97'], ['--report', 'plan.html']],
          }),
        ],
      },
    ];
  }
  return [
    {
      text: clientsText(made, url),
      commands: [nextCommand(flags, clientsLine(made, url))],
    },
    {
      text: 'Measure again on a schedule. This command ends with an error if the quality falls.',
      commands: [
        nextCommand(
          flags,
          evaluationLine(made, [
            ...queriesFlag(flags),
            ['--junit', 'evaluation.xml'],
            ['--accept', 'recall@10>=0.9'],
          ]),
        ),
      ],
    },
  ];
}

/** What can be done after an encoder was judged on files. */
export function stepsAfterJudgement(base: string, flags: EvaluateFlags, dim: number): PageStep[] {
  const { encoder, column } = flags;
  return [
    {
      text: 'Project the vectors, and load the result into your database.',
      commands: [projectStep({ input: base, column, encoder, dim })],
    },
    {
      text: 'Or let a migration do it, if the vectors are in a collection. Put its name in the place of docs.',
      commands: [
        shellCommand({
          command: ['migrate', 'start'],
          names: ['docs', 'docs_two_stage'],
          flags: [
            ['--encoder', encoder],
            ['--layout', 'two-stage'],
          ],
        }),
      ],
    },
  ];
}

function queriesFlag({ queries }: EvaluateFlags): Flags {
  return queries === undefined ? [] : [['--queries', queries]];
}
