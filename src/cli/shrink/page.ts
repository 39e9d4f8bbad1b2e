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
  return {
    ...page,
    title: `${collection}, shrunk`,
    tables: [
      proposalTable(sizing, choice),
      {
        title: 'How clients connect',
        columns: [['way'], ['code or command']],
        rows: connection.ways.flatMap(({ title, lines }) =>
          lines.map((line, i) => ({ cells: [i === 0 ? title : '', line] })),
        ),
      },
      ...(page.tables ?? []),
      ...(training === null || training.table === null ? [] : [training.table]),
      sizing.table,
    ],
    reproduce: commands,
  };
}
