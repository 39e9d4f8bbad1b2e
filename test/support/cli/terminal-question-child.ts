import { openConsole } from '../../../src/cli/console/command-output.js';
import { isTldrError } from '../../../src/core/errors.js';

/** Asks one question on its terminal and says how that ended. */
const run = await openConsole({}, { logLevel: 'silent' });
try {
  await run.confirm('Go on?');
  run.say('ended: yes');
} catch (error) {
  run.say(`ended: ${isTldrError(error) ? error.code : String(error)}`);
} finally {
  run.close();
}
