import { sentence } from '../../report/html.js';
import type { ReportInput } from '../../report/input.js';
import type { Evaluation } from '../evaluate/run-evaluate.js';
import type { ConnectOutcome } from './evaluate-and-connect.js';
import { proposalTable } from './measure.js';
import type { ShrinkSizing, ShrinkState } from './state.js';

/** What a run measured and did. */
interface ShrinkPageParts {
  readonly collection: string;
  readonly sizing: ShrinkSizing;
  readonly state: ShrinkState;
  readonly evaluation: Evaluation;
  readonly connection: ConnectOutcome;
  /** Every command that does the same without the guide. */
  readonly commands: readonly string[];
}

/** Returns everything that a run measured as one page: the page of the evaluation, with what came before and after it. */
export function shrinkPage({
  collection,
  sizing,
  state,
  evaluation,
  connection,
  commands,
}: ShrinkPageParts): ReportInput {
  const page = evaluation.page([]);
  const { choice, training } = state;
  const chosen = sizing.proposals.find(({ name }) => name === choice);
  const { settings = [] } = sizing;
  return {
    ...page,
    title: `${collection}, shrunk`,
    pareto: settings.map((row) => ({
      ...row,
      chosen: row.label === chosen?.figures.label && row.oversampling === chosen.row.oversampling,
    })),
    paretoNote: 'This chart is from the sample that was measured before the migration.',
    ways: {
      title: 'How clients connect',
      ways: connection.ways.map(({ title, lines }) => ({
        text: sentence(title),
        commands: [lines.join('\n')],
      })),
    },
    tables: [
      proposalTable(sizing, choice),
      ...(page.tables ?? []),
      ...(training === null || training.table === null ? [] : [training.table]),
      sizing.table,
    ],
    reproduce: commands,
  };
}
