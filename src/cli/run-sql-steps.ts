import { mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { TldrError } from '../core/errors.js';
import { writeWhole } from '../core/write-file.js';
import type { InPlaceStep } from '../store/in-place-target.js';
import { cutOverRequestOf, type CutoverTableFlags } from './migrate/in-place/run-change.js';
import { startRequestOf, type StartTableFlags } from './migrate/in-place/run-start.js';
import { tableCommand, withTable } from './migrate/in-place/work.js';

/** Flags of `sql --steps`. */
export type SqlStepsFlags = StartTableFlags & CutoverTableFlags & { readonly steps?: string };

const DIGITS = 2;
/** The folder of the files that take the cut-over back, which no tool may run with the others. */
const UNDO = 'undo';

/** Writes the steps of a whole migration of a table into a folder, as numbered files. Nothing else is touched. */
export function runSqlSteps(table: string | undefined, flags: SqlStepsFlags): Promise<void> {
  const { steps: folder } = flags;
  if (table === undefined || folder === undefined)
    throw new TldrError('INVALID_ARGUMENT', 'a table and --steps go together: give both, or neither');
  return withTable(table, flags, async ({ run, store, name }) => {
    const request = await startRequestOf({ name }, flags);
    const cutOver = cutOverRequestOf({ form: 'none', ...flags });
    await mkdir(folder, { recursive: true });
    if ((await readdir(folder)).length > 0)
      throw new TldrError('ALREADY_EXISTS', `${folder} is not empty: choose another folder`);
    const steps = await store.inPlace.script(request, cutOver);
    const write = async (into: string, some: readonly InPlaceStep[]): Promise<readonly string[]> => {
      const files = some.map((step, i) => fileOf(step, i + 1));
      for (const { file, text } of files) {
        await writeWhole(join(into, file), async (handle) => {
          await handle.writeFile(text);
        });
        run.say(`wrote ${join(into, file)}`);
      }
      return files.map(({ file }) => file);
    };
    const files = await write(
      folder,
      steps.filter(({ isUndo }) => isUndo !== true),
    );
    const takingBack = steps.filter(({ isUndo }) => isUndo === true);
    if (takingBack.length > 0) await mkdir(join(folder, UNDO));
    const undo = await write(join(folder, UNDO), takingBack);
    if (undo.length > 0) run.say(`run those in ${join(folder, UNDO)} only to take the cut-over back`);
    run.say('run the others in this order, and then:');
    run.next([tableCommand('verify', name, flags)]);
    run.result({ folder, files, undo });
  });
}

function fileOf(
  { title, statements, isAlone = false }: InPlaceStep,
  number: number,
): { readonly file: string; readonly text: string } {
  const words = title.split(/\W+/).filter((word) => word !== '');
  const slug = words.slice(0, 6).join('_').toLowerCase();
  const alone = isAlone
    ? '-- This statement cannot run in a transaction. If your tool opens one, leave out "concurrently": writers then wait.\n'
    : '';
  const body = statements.map((statement) => `${statement.trim().replace(/;$/, '')};\n`).join('\n');
  return {
    file: `${String(number).padStart(DIGITS, '0')}_${slug}.sql`,
    text: `-- Step ${number}: ${title}.\n${alone}${body}`,
  };
}
