import { TldrError } from '../../core/errors.js';
import type { ClientWay } from '../../store/adapter.js';
import type { InPlaceCutOver, InPlaceState, InPlaceTarget } from '../../store/in-place-target.js';
import { Encoder } from '../../encoder/model.js';
import { percentText } from '../console/command-output.js';
import { nextCommand, operatorLine, searchFunctionLine, TOP } from '../console/next-commands.js';
import { readFlags, type ShellCommand } from '../console/shell-command.js';
import type { Evaluation } from '../evaluate/run-evaluate.js';
import { cutoverCommand } from '../migrate/cutover-and-rollback.js';
import { cutOverRequestOf, cutOverTable, type CutoverTableFlags } from '../migrate/in-place/run-change.js';
import { stateOf, type TableCommand } from '../migrate/in-place/work.js';
import { collectionMadeBy } from '../plan/deploy-commands.js';
import { foundBy, sayWays, type ConnectOutcome } from './evaluate-and-connect.js';
import { askName, askWhether, askWhich, canAsk } from './questions.js';
import { deploymentOf, stepConsole, type ShrinkFlags, type ShrinkWork } from './work.js';

/** The function that clients call by the guides of Supabase. */
const USUAL_FUNCTION = 'match_documents';
/** Stands for the role in a command that is only shown. */
const SOME_ROLE = 'ROLE';

/** A change of what clients use. */
type AskedCutOver =
  | { readonly form: 'function'; readonly name: string | undefined }
  | { readonly form: 'operator'; readonly name: string };

/** Returns the change that the flags ask for; null for none. */
export function cutOverAsked({ form, function: name, role }: ShrinkFlags): AskedCutOver | null {
  if (form === 'function') return { form, name };
  return form === 'operator' && role !== undefined ? { form, name: role } : null;
}

/** @throws UNSUPPORTED when the trained encoder does not suit the operator that the flags ask for */
export async function checkOperator(work: ShrinkWork): Promise<void> {
  if (work.flags.form !== 'operator' || (await isForCosine(work))) return;
  throw new TldrError(
    'UNSUPPORTED',
    `--form operator is only for cosine, and compact vectors of ${work.files.encoder}, which an earlier run trained, are compared by another distance: give another --out to train one for the operator, or use --form function`,
  );
}

/** Says how clients use compact vectors that stand beside the full ones. Changes it only if the user wants that. */
export async function connectBeside(
  work: ShrinkWork,
  store: InPlaceTarget,
  evaluation: Evaluation,
): Promise<ConnectOutcome> {
  const { collection, run, config, flags } = work;
  const name = { collection, vectorName: flags.vector };
  const command: TableCommand = { run: stepConsole(work, 'connect'), config, store, name };
  const hasOperator = await isForCosine(work);
  const ways = await waysBeside(work, store, hasOperator ? evaluation.onePass : null);
  sayWays(work, ways);
  run.say('');
  const before = await stateOf(command);
  const asked = cutOverAsked(flags) ?? (await answered(work, { store, before, hasOperator }));
  if (asked !== null) await cutOver(work, { command, before, asked });
  const { cutOver: made } = await stateOf(command);
  if (made === null || made.form === 'none') {
    run.say(
      `  nothing was changed for clients: their queries read the full vectors of ${collection} as before, and triggers keep the compact ones up to date`,
    );
    return { ways, switched: null, cutOver: null };
  }
  return { ways, switched: null, cutOver: { made, line: executed(cutOverLine(work, asked ?? toAsk(made))) } };
}

/** Whether an operator of compact vectors orders nearly as that of the full ones. */
async function isForCosine({ files }: ShrinkWork): Promise<boolean> {
  const { distance, compactDistance } = (await Encoder.load(files.encoder)).metadata;
  return distance === 'cosine' && compactDistance === 'cosine';
}

/** Returns the ways for clients to search compact vectors. @param onePass what an operator finds; null without one */
async function waysBeside(
  work: ShrinkWork,
  store: InPlaceTarget,
  onePass: Evaluation['onePass'],
): Promise<ClientWay[]> {
  const { collection, flags } = work;
  const candidates = TOP * (collectionMadeBy(deploymentOf(work)).oversampling ?? 1);
  const { statements } = await store.inPlace.planCutOver(
    { collection, vectorName: flags.vector },
    { form: 'none', name: undefined, candidates },
  );
  const lines = (asked: AskedCutOver): readonly string[] => {
    const line = cutOverLine(work, asked);
    return [nextCommand(flags, line), nextCommand(flags, executed(line))];
  };
  return [
    {
      title:
        'a search function of the database: clients call it, and its scores are those of the full vectors. The first command shows it, the second makes or replaces it (--function names it)',
      lines: lines({ form: 'function', name: flags.function }),
    },
    ...(onePass === null
      ? []
      : [
          {
            title: `the operator <=> of one role, for clients that write \`order by embedding <=> $1\` and cannot change. Distances are approximate: nothing is rescored, and searches find ${percentText(foundBy(onePass).mean)} of the same first ten results. The first command shows it, the second makes it`,
            lines: lines({ form: 'operator', name: flags.role ?? SOME_ROLE }),
          },
        ]),
    {
      title: `the query itself, with $1 for the full vector of the query (first: set local hnsw.ef_search = ${candidates})`,
      lines: statements.flatMap((statement) => statement.split('\n')),
    },
  ];
}

function cutOverLine(work: ShrinkWork, { form, name }: AskedCutOver): ShellCommand {
  const made = collectionMadeBy(deploymentOf(work));
  return form === 'function' ? searchFunctionLine(made, name) : operatorLine(made, name);
}

function executed(line: ShellCommand): ShellCommand {
  return { ...line, flags: [...line.flags, ['--execute', null]] };
}

/** The change that a cut-over by an earlier run or by hand was. */
function toAsk({ form, name }: InPlaceCutOver): AskedCutOver {
  return form === 'operator' ? { form, name } : { form: 'function', name };
}

/** Asks the user what clients should use. Returns null for nothing, or if there is nobody to ask. */
async function answered(
  work: ShrinkWork,
  {
    store,
    before,
    hasOperator,
  }: { readonly store: InPlaceTarget; readonly before: InPlaceState; readonly hasOperator: boolean },
): Promise<AskedCutOver | null> {
  const { collection, run, flags } = work;
  if (flags.form !== undefined || before.cutOver !== null || flags.yes === true || !canAsk()) return null;
  const { signal } = run;
  const form = await askWhich<CutOverForm>('Change now what clients use?', {
    answers: [
      { value: 'none', label: 'no', hint: 'clients search the full vectors as before' },
      { value: 'function', label: 'function', hint: 'a search function, with scores of the full vectors' },
      ...(hasOperator
        ? ([
            { value: 'operator', label: 'operator', hint: '<=> of one role, with approximate distances' },
          ] as const)
        : []),
    ],
    first: 'none',
    signal,
  });
  if (form === 'none') return null;
  const asked: AskedCutOver =
    form === 'function'
      ? { form, name: await askName('Which function?', { proposed: USUAL_FUNCTION, signal }) }
      : {
          form,
          name: await askName('Which role do the clients connect as?', { proposed: undefined, signal }),
        };
  const request = cutOverRequestOf(await flagsOf(cutOverLine(work, asked)));
  const name = { collection, vectorName: flags.vector };
  for (const line of (await store.inPlace.planCutOver(name, request)).lines) run.say(`  ${line}`);
  return (await askWhether('Do it now?', signal)) ? asked : null;
}

type CutOverForm = InPlaceCutOver['form'];

/** Whether a cut-over that was made is the one that is asked for. */
function isAsked({ form, name }: InPlaceCutOver, asked: AskedCutOver): boolean {
  return form === asked.form && (form === 'function' || name === asked.name);
}

/** @throws ALREADY_EXISTS when clients use the compact vectors in another way than the flags ask for */
export function checkOtherCutOver({ flags }: Pick<ShrinkWork, 'flags'>, known: InPlaceState): void {
  const asked = cutOverAsked(flags);
  if (asked === null || known.cutOver === null || isAsked(known.cutOver, asked)) return;
  throw new TldrError('ALREADY_EXISTS', 'clients were sent to the compact vectors already', {
    hint: 'roll-back-first',
  });
}

function flagsOf(line: ShellCommand): Promise<CutoverTableFlags> {
  return readFlags<CutoverTableFlags>(line, (give) =>
    cutoverCommand().action((_source: string, _target: string, read: CutoverTableFlags) => give(read)),
  );
}

/** Changes what clients use, unless an earlier run did so. */
async function cutOver(
  work: ShrinkWork,
  {
    command,
    before,
    asked,
  }: { readonly command: TableCommand; readonly before: InPlaceState; readonly asked: AskedCutOver },
): Promise<void> {
  const { run, flags } = work;
  const line = executed(cutOverLine(work, asked));
  run.say(`  $ ${nextCommand(flags, line)}`);
  const { cutOver: known } = before;
  if (known !== null && isAsked(known, asked))
    run.say(`  done before: ${known.name} searches compact vectors`);
  else await cutOverTable(command, await flagsOf(line));
}
