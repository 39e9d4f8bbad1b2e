import { TldrError } from '../../../core/errors.js';
import type {
  InPlaceChange,
  InPlaceCompletionPlan,
  InPlaceCutOverRequest,
  InPlaceName,
  InPlaceState,
} from '../../../store/in-place-target.js';
import type { ConsoleRun } from '../../console/command-output.js';
import type { CommandStages } from '../../console/progress/stages.js';
import { nextCommand, sameCommandWith } from '../../console/next-commands.js';
import {
  nextTableCommands,
  stateOf,
  tableCommand,
  withTable,
  working,
  type TableCommand,
  type TableMigrationFlags,
} from './work.js';

/** All rows are compared before full vectors are deleted. */
const VERIFY_STAGES: CommandStages = { stages: [{ steps: /^verifying$/, weight: 1 }], seconds: null };

/** A cut-over may build an index. */
const INDEX_STAGES: CommandStages = { stages: [{ steps: /^indexing$/, weight: 1 }], seconds: null };

/** First-stage results, if --candidates does not say how many. */
const CANDIDATES = 100;

/** Flags of commands that only say what would happen, until they are to execute it. */
interface ExecuteTableFlags extends TableMigrationFlags {
  readonly execute?: boolean;
}

/** Flags of `migrate cutover` for a table. */
export interface CutoverTableFlags extends ExecuteTableFlags {
  readonly form?: InPlaceCutOverRequest['form'];
  readonly function?: string;
  readonly role?: string;
  readonly candidates?: number;
}

/** Flags of `migrate complete` for a table. */
export interface CompleteTableFlags extends ExecuteTableFlags {
  readonly dropFullIndex?: boolean;
  /** The words, or true without any. */
  readonly dropFullColumn?: string | true;
}

/** Runs `migrate cutover` for a table. */
export function runCutoverTable(table: string, flags: CutoverTableFlags): Promise<void> {
  return withTable(table, flags, (command) => cutOverTable(command, flags));
}

/** Lets clients of a table use the compact vectors, or says what that would do. */
export async function cutOverTable(command: TableCommand, flags: CutoverTableFlags): Promise<void> {
  const { run, store, name } = command;
  const request = cutOverRequestOf(flags);
  const { phase } = await stateOf(command);
  if (flags.execute !== true) {
    const planned = await store.inPlace.planCutOver(name, request);
    sayChange(run, planned);
    if (phase !== 'ready') run.say(`not yet: the migration is at "${phase}"`);
    sayDryRun(run, planned);
    return;
  }
  run.expectStages(INDEX_STAGES);
  const { signal, log, onProgress } = run;
  const change = await working(command, flags, (work) => work.cutOver(request, { signal, log, onProgress }));
  await changed(command, flags, change);
}

/** Returns what the flags of a cut-over ask for. @throws INVALID_ARGUMENT for flags that do not go together */
export function cutOverRequestOf({
  form,
  function: searchFunction,
  role,
  candidates,
}: CutoverTableFlags): InPlaceCutOverRequest {
  if (form === undefined)
    throw new TldrError(
      'INVALID_ARGUMENT',
      'give --form: function replaces or makes a search function, operator changes <=> for one role, none prints the query that clients should send',
    );
  if (form !== 'function' && searchFunction !== undefined)
    throw new TldrError('INVALID_ARGUMENT', '--function needs --form function');
  if (form !== 'operator' && role !== undefined)
    throw new TldrError('INVALID_ARGUMENT', '--role needs --form operator');
  if (form === 'operator' && role === undefined)
    throw new TldrError(
      'INVALID_ARGUMENT',
      '--form operator needs --role, the role that the clients connect as',
    );
  if (form === 'operator' && candidates !== undefined)
    throw new TldrError(
      'INVALID_ARGUMENT',
      '--candidates: the form operator is one pass and rescores nothing',
    );
  if (candidates !== undefined && (candidates < 1 || candidates > 1000))
    throw new TldrError('INVALID_ARGUMENT', '--candidates: expected a number from 1 to 1000');
  return { form, name: form === 'operator' ? role : searchFunction, candidates: candidates ?? CANDIDATES };
}

/** Runs `migrate rollback` for a table. */
export function runRollbackTable(table: string, flags: ExecuteTableFlags): Promise<void> {
  return withTable(table, flags, async (command) => {
    const { run } = command;
    const state = await stateOf(command);
    if (state.cutOver === null && state.leftovers.length === 0)
      throw new TldrError('NOT_FOUND', 'there was no cut-over');
    checkFullVectors(state);
    if (flags.execute !== true) {
      for (const line of rollbackLines(state)) run.say(line);
      sayDryRun(run, { statements: [] });
      return;
    }
    await changed(command, flags, await working(command, flags, (work) => work.rollBack()));
  });
}

/** @throws UNSUPPORTED if the full vectors were deleted */
function checkFullVectors({ collection, vectorName, cutOver }: InPlaceState): void {
  if (cutOver?.isFullColumnDropped !== true) return;
  throw new TldrError(
    'UNSUPPORTED',
    `the column "${vectorName}" of ${collection} was dropped, so its compact vectors are all that is left and there is no way back. With the column restored from a backup, you can abort the migration and start it again`,
  );
}

/** Says what a rollback would do. */
function rollbackLines({ cutOver, leftovers }: InPlaceState): readonly string[] {
  const left = leftovers.map((name) => `if it succeeds: ${name}, which was left over, is removed`);
  if (cutOver === null) return left;
  const { form, name } = cutOver;
  switch (form) {
    case 'none':
      return ['nothing was changed for clients, so only the state is changed', ...left];
    case 'operator':
      return [
        `if it succeeds: the role ${name} has its operators and search path of before the cut-over`,
        ...left,
      ];
    case 'function':
      return [`if it succeeds: ${name} is again what it was before the cut-over`, ...left];
  }
}

/** Runs `migrate complete` for a table. */
export function runCompleteTable(table: string, flags: CompleteTableFlags): Promise<void> {
  return withTable(table, flags, async (command) => {
    const { run, store, name } = command;
    const { dropFullIndex = false, dropFullColumn, execute = false } = flags;
    if ((dropFullIndex || dropFullColumn !== undefined) && !execute) {
      const removed = { fullIndexes: dropFullIndex, fullColumn: dropFullColumn !== undefined };
      const planned = await store.inPlace.planCompletion(name, removed);
      sayChange(run, planned);
      sayDryRun(run, planned, completeCommand(name, flags, planned));
      return;
    }
    const { layout } = await stateOf(command);
    const completion = {
      dropFullIndexes: dropFullIndex,
      dropFullColumn: dropFullColumn === true ? '' : dropFullColumn,
    };
    if (dropFullColumn !== undefined) run.expectStages(VERIFY_STAGES);
    const { signal, log, onProgress } = run;
    const change = await working(command, flags, (work) =>
      work.complete(completion, { signal, log, onProgress }),
    );
    if (dropFullColumn !== undefined)
      run.say('complete: triggers keep the compact vectors with their rows from now on');
    else
      run.say(
        layout === 'side'
          ? 'complete: triggers keep the compact vectors up to date from now on'
          : 'complete: PostgreSQL keeps the index of compact vectors up to date',
      );
    await changed(command, flags, change);
  });
}

/** Runs `migrate abort` for a table. */
export function runAbortTable(table: string, flags: ExecuteTableFlags): Promise<void> {
  return withTable(table, flags, async (command) => {
    const { run, store, name } = command;
    const state = await stateOf(command);
    const { cutOver, runner, collection, problems } = state;
    // Compact vectors of a table that was dropped are of no use any more.
    const isLeft = cutOver?.isFullColumnDropped === true && problems.length > 0;
    if (!isLeft) checkFullVectors(state);
    if (cutOver !== null && cutOver.form !== 'none' && !isLeft)
      throw new TldrError('INVALID_ARGUMENT', `${cutOver.name} uses the compact vectors`, {
        hint: 'roll-back-first',
      });
    if (runner !== null) run.say(`if it succeeds: ${runner} is stopped at its next batch`);
    run.say(
      `if it succeeds: triggers, functions and compact vectors of ${collection} are removed; the table keeps all of its data`,
    );
    if (flags.execute !== true) {
      sayDryRun(run, { statements: [] });
      return;
    }
    await store.inPlace.pause(name, 0);
    const { signal, log } = run;
    await working(command, flags, (work) => work.remove({ signal, log }));
    if (isLeft && cutOver.name !== '')
      run.say(`${cutOver.name} searched them, and fails from now on: drop or replace it`);
    run.say('given up');
    run.next([nextCommand(flags, { command: ['inspect'], names: [table], flags: [] })]);
    run.result({ dryRun: false, collection });
  });
}

function sayChange(run: ConsoleRun, { lines }: InPlaceChange): void {
  for (const line of lines) run.say(line);
}

/** The command that does what was planned; null for the same one with `--execute`. */
function completeCommand(
  name: InPlaceName,
  flags: CompleteTableFlags,
  { words }: InPlaceCompletionPlan,
): string | null {
  if (words === null) return null;
  return tableCommand('complete', name, flags, [
    ['--drop-full-column', words],
    ['--execute', null],
  ]);
}

function sayDryRun(
  run: ConsoleRun,
  { statements }: Pick<InPlaceChange, 'statements'>,
  next: string | null = null,
): void {
  for (const statement of statements) for (const line of statement.split('\n')) run.sayCode(`  ${line}`);
  run.say(
    next === null
      ? 'dry run: nothing was changed; --execute does it'
      : 'dry run: nothing was changed; the command below does it',
  );
  run.next([next ?? sameCommandWith('--execute')]);
  run.result({ dryRun: true, statements });
}

async function changed(
  command: TableCommand,
  flags: TableMigrationFlags,
  change: InPlaceChange,
): Promise<void> {
  const { run, name } = command;
  sayChange(run, change);
  const state = await stateOf(command);
  run.next(nextTableCommands(state, name, flags));
  run.result({ dryRun: false, ...state, statements: change.statements });
}
