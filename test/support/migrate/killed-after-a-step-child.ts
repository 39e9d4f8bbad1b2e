import { openQdrant } from '../../../adapters/qdrant/index.js';
import type { QdrantStore } from '../../../adapters/qdrant/index.js';
import { cutOver } from '../../../src/migrate/cutover/cut-over-by-alias.js';
import { completeMigration } from '../../../src/migrate/cutover/end-migration.js';
import { startMigration } from '../../../src/migrate/run/migrate-collection.js';
import type { MigrationState } from '../../../src/migrate/state/migration-state.js';
import { stateFile } from '../../../src/migrate/state/in-file.js';
import type { StateLocation } from '../../../src/migrate/state/location.js';
import { watched } from '../store/watch-calls.js';
import { tinyEncoder } from './fixtures.js';

/** A whole migration with cut-over and deletion of the source, killed by its own hand right after one step. */
const [url = '', grpcUrl = '', statePath = '', killAfter = ''] = process.argv.slice(2);
const reached = (step: string): void => {
  if (step === killAfter) process.kill(process.pid, 'SIGKILL');
};
const stepOf = ({ phase, cutOver: cut, completed }: MigrationState): string =>
  completed ? 'completed' : cut === null ? phase : cut.state;

const opened = await openQdrant({ url, grpcUrl });
const store: QdrantStore = watched(opened, ({ name, go }) => {
  const answer = go();
  if (!(answer instanceof Promise)) return answer;
  return answer.then((result: unknown) => {
    reached(`call ${name}`);
    return result;
  });
});
const file = stateFile(statePath);
const place: StateLocation = {
  ...file,
  write: async (state) => {
    await file.write(state);
    reached(stepOf(state));
  },
};
const sides = { source: store, target: store, place };
const names = { sourceCollection: 'killed', targetCollection: 'killed-2' };

const phase = (await place.read())?.phase;
if (phase !== 'verified')
  await startMigration({
    ...sides,
    ...names,
    encoder: tinyEncoder(),
    layout: 'two-stage',
    saveIntervalMs: 0,
  });
if ((await place.read())?.cutOver?.state !== 'done')
  await cutOver({ ...sides, form: 'alias', alias: 'killed-clients' });
await completeMigration({ ...sides, deleteSource: true });
process.stdout.write('finished\n');
await opened.close();
