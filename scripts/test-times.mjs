/**
 * Prints how long the groups of tests and the slowest suites of a jest run took. A group is a folder of test/,
 * or of test/integration/.
 *
 * Usage: node scripts/test-times.mjs jest.json    (the file that `jest --json --outputFile` writes)
 */
import { readFileSync } from 'node:fs';
import { relative } from 'node:path';

const SLOWEST = 10;

const [file] = process.argv.slice(2);
if (file === undefined) throw new Error('expected a file that jest --json --outputFile wrote');
const { testResults } = JSON.parse(readFileSync(file, 'utf8'));

const suites = testResults
  .map(({ name, startTime, endTime }) => ({
    // Tests run as compiled JavaScript; the name is that of the source.
    name: relative(process.cwd(), name)
      .replace(/^dist\//, '')
      .replace(/\.js$/, '.ts'),
    seconds: Math.max(0, endTime - startTime) / 1000,
  }))
  .sort((a, b) => b.seconds - a.seconds);

const groups = new Map();
for (const { name, seconds } of suites) {
  const [, folder = '', inner = ''] = name.split('/');
  const group =
    folder === 'integration' && !inner.endsWith('.ts')
      ? `integration/${inner}`
      : folder.replace(/\.test\.ts$/, '');
  const { count, total } = groups.get(group) ?? { count: 0, total: 0 };
  groups.set(group, { count: count + 1, total: total + seconds });
}

const inColumn = (seconds) => `${seconds.toFixed(1).padStart(8)} s`;
console.log('Seconds of each group of tests; several suites may run at the same time:');
for (const [group, { count, total }] of [...groups].sort(([, a], [, b]) => b.total - a.total)) {
  console.log(`${inColumn(total)}  ${group} (${count} ${count === 1 ? 'suite' : 'suites'})`);
}
console.log(`\nThe ${Math.min(SLOWEST, suites.length)} slowest suites:`);
for (const { name, seconds } of suites.slice(0, SLOWEST)) console.log(`${inColumn(seconds)}  ${name}`);
