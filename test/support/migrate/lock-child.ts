import { lockFile } from '../../../src/migrate/state/lock.js';
import { isTldrError } from '../../../src/core/errors.js';

/** Takes a lock when told to, prints how that went, and holds it until its input ends. */
const [path = ''] = process.argv.slice(2);
process.stdout.write('ready\n');
process.stdin.once('data', () => {
  lockFile(path).then(
    () => process.stdout.write('held\n'),
    (error: unknown) => process.stdout.write(`${isTldrError(error) ? error.code : String(error)}\n`),
  );
});
