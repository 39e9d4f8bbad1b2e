import { afterAll, beforeAll, describe, expect, test as plainTest } from '@jest/globals';
import { spawnSync } from 'node:child_process';
import type { Server } from 'node:http';
import { concatRows } from '../../../src/core/matrix.js';
import { withSampleSummary } from '../../../src/select/summarize-sample.js';
import { pcaEncoder } from '../../support/migrate/pca-encoder.js';
import { VECTORS } from '../../support/examples/docs-collection.js';
import { allSnippets, pageSnippets, type PageSnippet } from '../../support/examples/doc-snippets.js';
import {
  addressOf,
  GIVEN_NAMES,
  runnable,
  shellFailure,
  startChat,
  type ShellPlace,
} from '../../support/examples/run-shell.js';
import { startTestServer, testsOn, type TestServer } from '../../support/server/test-server.js';

const serverTest = await testsOn('any');
const snippets = allSnippets();
const shell = snippets.filter(({ language }) => language === 'sh');

/** A page of one shell snippet, for what the test itself does. */
const page = (notes: string, code: string): PageSnippet[] =>
  pageSnippets(
    `# A page\n\n${notes === '' ? '' : `<!-- ${notes} -->\n\n`}\`\`\`sh\n${code}\n\`\`\`\n`,
    'a page',
  );

describe('a snippet of a page', () => {
  plainTest('is of a language that a test knows, or text that is only shown', () => {
    const known = ['sh', 'ts', 'json', 'python', ''];
    const other = snippets.filter(({ language, from }) => from === null && !known.includes(language));
    expect(other.map(({ name }) => name)).toEqual([]);
  });

  plainTest('is marked as shell if it begins with a command', () => {
    const shown = snippets.filter(({ language }) => language === '');
    const commands = shown.filter(({ code }) => /^(?:\$ )?(?:qdrant-tldr|npm|npx|curl|docker) /m.test(code));
    expect(commands.map(({ name }) => name)).toEqual([]);
  });

  plainTest('runs, or has a reason why not', () => {
    const reasons = snippets.flatMap(({ name, notRun, linesNotRun }) => [
      ...(notRun === null ? [] : [`${name}: ${notRun}`]),
      ...[...linesNotRun].map(([words, reason]) => `${name}, ${words}: ${reason}`),
    ]);
    process.stderr.write(`not run:\n${reasons.map((line) => `  ${line}\n`).join('')}`);
    const python = snippets.filter(
      ({ language, from, notRun }) => language === 'python' && from === null && notRun === null,
    );
    expect(python.map(({ name }) => name)).toEqual([]);
  });

  plainTest('is as it stands in the program that it is a part of', () => {
    expect(snippets.filter(({ from }) => from !== null).length).toBeGreaterThan(0);
    const { status, stderr } = spawnSync(process.execPath, ['scripts/client-snippets.mjs', '--check'], {
      encoding: 'utf8',
    });
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  });

  plainTest('needs only what the test can provide', () => {
    const unknown = shell.filter(({ given }) => given.some((need) => !GIVEN_NAMES.includes(need)));
    expect(unknown.map(({ name }) => name)).toEqual([]);
  });
});

describe('the notes before a snippet', () => {
  plainTest('leave lines out, with those that continue them', () => {
    const [one] = page(
      'given: docs\nnot run, npm install: changes the machine',
      'npm install x \\\n  y\nqdrant-tldr config',
    );
    expect(one).toMatchObject({ name: 'a page:6', given: ['docs'] });
    expect(one && runnable(one)).toBe('qdrant-tldr config');
  });

  plainTest('are refused if they are no notes, or leave out a line that is not there', () => {
    expect(() => page('skip', 'false')).toThrow('a page:5: "skip" is no note');
    const [one] = page('not run, npm install: changes the machine', 'qdrant-tldr config');
    expect(() => one && runnable(one)).toThrow('a page:5: no line begins with "npm install"');
  });
});

describe('a shell snippet of a page', () => {
  let server: TestServer;
  let chat: Server;
  let place: ShellPlace;
  beforeAll(async () => {
    [server, chat] = await Promise.all([startTestServer(), startChat()]);
    // Twice the points: a sample as small as they are gets no summary.
    const sample = concatRows([VECTORS, VECTORS], VECTORS.cols);
    const encoder = await withSampleSummary(await pcaEncoder(VECTORS, 96), sample, { seed: 1 });
    place = { addresses: server, encoder, chatUrl: addressOf(chat) };
  });
  afterAll(async () => {
    chat.close();
    await server.stop();
  });

  serverTest.each(shell.filter(({ notRun }) => notRun === null).map((one) => [one.name, one] as const))(
    '%s runs',
    async (_, snippet) => {
      expect(await shellFailure(snippet, place)).toBeNull();
    },
  );

  const asFile = snippets
    .filter(({ language, notRun }) => language === 'json' && notRun === null)
    .map((one) => {
      const code = `cat > file.json <<'END'\n${one.code}\nEND\nqdrant-tldr config --config file.json`;
      return [one.name, { ...one, code }] as const;
    });
  serverTest.each(asFile)('%s is a valid configuration file', async (_, snippet) => {
    expect(await shellFailure(snippet, place)).toBeNull();
  });

  serverTest('fails the test if one of its commands fails', async () => {
    for (const code of [
      'qdrant-tldr inspect docs\ntrue',
      'curl http://localhost:6333/collections/docs\ntrue',
    ]) {
      const [one] = page('', code);
      expect(one && (await shellFailure(one, place))).toMatch(
        /failed: (qdrant-tldr|curl) [\s\S]*ended with \d+$/,
      );
    }
  });
});
