import { afterAll, beforeAll, describe, expect } from '@jest/globals';
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { Encoder } from '../../../src/encoder/model.js';
import { bytesText } from '../../../src/report/format.js';
import { targetDescription } from '../../../src/store/target-description.js';
import type { CliPlace } from '../../support/cli/cli-on-test-server.js';
import type { CliResult } from '../../support/cli/run-cli.js';
import { contentOf } from '../../support/migrate/fixtures.js';
import {
  DOCS_POINTS,
  everythingOf,
  openShrinkPlace,
  SMALL,
  type ShrinkJson,
} from '../../support/shrink/shrink-place.js';
import { testsOn } from '../../support/server/test-server.js';

const test = await testsOn('any');

const RUN = ['shrink', 'docs', '--yes', '--choose', 'balanced', ...SMALL, '--report', 'page.html', '--json'];
let place: CliPlace;
let scripts: string;
let before: Record<string, unknown>;
let dry: CliResult;
let afterDry: Record<string, unknown>;
let unasked: readonly CliResult[];
let afterUnasked: Record<string, unknown>;
let first: CliResult;
let result: ShrinkJson;

beforeAll(async () => {
  place = await openShrinkPlace('shrink');
  scripts = await mkdtemp(join(tmpdir(), 'qdrant-tldr-client-'));
  before = await everythingOf(place);
  dry = await place.cli('shrink', 'docs', ...SMALL, '--dry-run', '--json');
  afterDry = await everythingOf(place);
  unasked = [
    await place.cli('shrink', 'docs', ...SMALL),
    await place.cli('shrink', 'docs', ...SMALL, '--yes', '--json'),
    await place.cli('shrink', 'docs', ...SMALL, '--choose', 'safe'),
  ];
  afterUnasked = await everythingOf(place);
  first = await place.cli(...RUN);
  if (first.code !== 0) throw new Error(first.stderr);
  result = first.json() as unknown as ShrinkJson;
});
afterAll(async () => {
  await place.end();
  await rm(scripts, { recursive: true, force: true });
});

/** Runs a program in the folder of the run, with this package and the official client at hand. Returns the JSON that it prints. */
async function runScript(code: string): Promise<number[][]> {
  const modules = join(scripts, 'node_modules');
  await mkdir(modules);
  await symlink(resolve('.'), join(modules, 'qdrant-tldr'));
  await symlink(resolve('node_modules/@qdrant'), join(modules, '@qdrant'));
  const file = join(scripts, 'client.mjs');
  await writeFile(file, code);
  const { stdout } = await promisify(execFile)(process.execPath, [file], { cwd: place.cwd });
  return JSON.parse(stdout) as number[][];
}

describe('before anything is decided', () => {
  test('a dry run says what would happen, and writes nothing', () => {
    expect(dry).toMatchObject({
      code: 0,
      stderr: expect.stringContaining('$ qdrant-tldr plan docs --dims 8 '),
    });
    expect(dry.json()).toMatchObject({ dryRun: true, choice: null, proposals: null });
    expect(afterDry).toEqual(before);
  });

  test('without a terminal it does not ask, says what is missing, and writes nothing', () => {
    const [nothing, chosen, agreed] = unasked;
    expect(nothing).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('add --choose safe|balanced|smallest and --yes'),
    });
    expect(chosen).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('add --choose safe|balanced|smallest,'),
    });
    expect(chosen?.json()).toMatchObject({ error: { code: 'INVALID_ARGUMENT' } });
    expect(agreed).toMatchObject({ code: 2, stderr: expect.stringContaining('add --yes,') });
    expect(afterUnasked).toEqual(before);
  });

  test.each([
    [['--report', 'docs.onnx'], '--report names docs.onnx'],
    [['--layout', 'compact', '--switch', 'search'], '--switch needs the two-stage layout'],
  ])('%j is refused', async (flags, message) => {
    const refused = await place.cli('shrink', 'docs', '--yes', '--choose', 'safe', ...flags);
    expect(refused).toMatchObject({ code: 2, stderr: expect.stringContaining(message) });
  });

  test('an alias cannot be shrunk', async () => {
    const refused = await place.cli('shrink', 'search', '--yes', '--choose', 'safe');
    expect(refused).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('"search" is an alias of docs'),
    });
  });
});

describe('an unattended run', () => {
  test('makes the chosen proposal, verified, in the two-stage layout', async () => {
    expect(result).toMatchObject({
      choice: 'balanced',
      migration: { phase: 'verified', verified: DOCS_POINTS },
    });
    const { store, cwd } = place;
    expect([...(await store.listCollections())].sort()).toEqual(['docs', result.target]);
    expect(await store.count(result.target)).toBe(DOCS_POINTS);
    const encoder = await Encoder.load(join(cwd, 'docs.onnx'));
    expect(targetDescription(await store.describe(result.target))).toMatchObject({
      source: 'docs',
      layout: 'two-stage',
      encoder: encoder.fingerprint,
      outputDim: result.row.dim,
    });
  });

  test('changes neither the collection nor the alias', async () => {
    expect(await contentOf(place.store, 'docs')).toEqual(before['docs']);
    expect((await everythingOf(place))['aliases']).toEqual(before['aliases']);
    expect(result.switched).toBeNull();
  });

  test('proposes less memory for less recall', () => {
    const { proposals } = result;
    expect(proposals.map(({ name }) => name)).toEqual(['safe', 'balanced', 'smallest']);
    const ram = proposals.map(({ figures }) => figures.ramBytes);
    expect(ram).toEqual([...ram].sort((a, b) => b - a));
    for (const { seconds, figures } of proposals) {
      expect(seconds).toBeGreaterThan(0);
      expect(figures.diskBytes).toBeGreaterThan(0);
    }
  });

  test('prints the commands that do the same, and they run', async () => {
    const [inspect, plan, train, migrate, evaluate, serve] = result.commands.map((line) =>
      line.split(' ').slice(1),
    );
    for (const command of result.commands.slice(0, 5)) expect(first.stderr).toContain(`$ ${command}`);
    expect([inspect?.[0], plan?.[0], migrate?.[0]]).toEqual(['inspect', 'plan', 'migrate']);
    expect(await place.cli(...(plan ?? []), '--dry-run')).toMatchObject({ code: 0 });
    const checked = (train ?? []).map((word) => (word === 'docs.onnx' ? 'other.onnx' : word));
    expect(await place.cli(...checked, '--dry-run')).toMatchObject({ code: 0 });
    expect(await place.cli(...(migrate ?? []), '--dry-run')).toMatchObject({ code: 0 });
    const again = await place.cli(...(evaluate ?? []), '--json');
    expect(again.json()).toMatchObject({ source: 'docs', target: result.target });
    expect(await place.cli(...(serve ?? []), '--check')).toMatchObject({ code: 0 });
  });

  test('says how clients connect, the proxy first', () => {
    const [proxy, wrapper, own] = result.clients;
    expect(proxy?.lines).toEqual([result.commands[5]]);
    expect(wrapper?.lines.join('\n')).toContain('withProjection');
    expect(own?.lines.join('\n')).toContain(`/collections/${result.target}/points/query`);
    for (const { lines } of result.clients) for (const line of lines) expect(first.stderr).toContain(line);
  });

  test('the code for clients runs as it is printed, and both ways find the same', async () => {
    const [, wrapper, own] = result.clients;
    const [request = '', ...code] = [...(own?.lines ?? [])].reverse();
    const [, path = '', body = ''] = /^POST (\S+) (.*)$/.exec(request) ?? [];
    const program = [...(wrapper?.lines ?? []), ...code.reverse()];
    const imports = program.filter((line) => line.startsWith('import '));
    const rest = program.filter((line) => !line.startsWith('import '));
    const script = [
      ...imports,
      `const url = ${JSON.stringify(place.server.url)};`,
      "const [{ vector: query }] = await new QdrantClient({ url, checkCompatibility: false }).retrieve('docs', { ids: [5], with_vector: true });",
      ...rest,
      "const wrapped = (await client.query('docs', { query, limit: 10 })).points;",
      `const body = ${body.replace(/\[(\d+) numbers\]/g, (_, size) => (Number(size) === result.row.dim ? '[...compact]' : 'query'))};`,
      `const answer = await fetch(url + ${JSON.stringify(path)}, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) });`,
      'const projected = (await answer.json()).result.points;',
      'console.log(JSON.stringify([wrapped, projected].map((points) => points.map(({ id }) => id))));',
    ];
    const [wrapped, projected] = await runScript(script.join('\n'));
    expect(wrapped?.[0]).toBe(5);
    expect(wrapped).toHaveLength(10);
    expect(projected).toEqual(wrapped);
  });

  test('puts everything into one page', async () => {
    const page = await readFile(join(place.cwd, 'page.html'), 'utf8');
    for (const title of ['Proposals', 'How clients connect', 'Recall@10', 'Candidates', 'Configurations'])
      expect(page).toContain(title);
    // Each word of a command stands in an element of its own.
    const text = page.replace(/<\/?span>/g, '');
    expect(text).toContain(`qdrant-tldr migrate start docs ${result.target}`);
  });

  test('tells one figure of RAM, the measured one, in every step and on the page', async () => {
    const { today, proposals, choice } = result;
    const chosen = proposals.find(({ name }) => name === choice);
    const [before, after] = [today.ramBytes, chosen?.figures.ramBytes ?? Number.NaN].map(bytesText);
    expect(first.stderr).toContain(`memory for vectors and index, as measured: ${before} -> ${after}`);
    expect(first.stderr).toContain(`RAM of vectors and index (measured): ${after}, before ${before}`);
    const page = (await readFile(join(place.cwd, 'page.html'), 'utf8')).replaceAll('\u00A0', ' ');
    expect(page).toContain(`RAM goes from ${before} to ${after} here`);
    expect(page).toContain('measured on a sample and scaled to all points');
    expect(page).not.toContain('estimated from dimensions');
  });

  test('leaves the encoder, the page and the states, and no temporary file', async () => {
    expect((await readdir(place.cwd)).sort()).toEqual([
      '.qdrant-tldr',
      'docs.onnx',
      'docs.onnx.shrink.json',
      'enc.onnx',
      'page.html',
    ]);
  });
});

describe('after it', () => {
  test('the same command trains and copies nothing again, and gives the same', async () => {
    const again = await place.cli(...RUN);
    expect(again.json()).toMatchObject({
      target: result.target,
      encoder: result.encoder,
      proposals: result.proposals,
      commands: result.commands,
    });
    expect(again.stderr).toContain('trained by an earlier run');
    expect(again.stderr).toContain('copied and verified by an earlier run');
  });

  test('a dry run shows the proposals, and writes nothing', async () => {
    const stood = await everythingOf(place);
    const shown = await place.cli('shrink', 'docs', ...SMALL, '--dry-run', '--json');
    expect(shown.json()).toMatchObject({
      choice: 'balanced',
      target: result.target,
      proposals: result.proposals,
    });
    expect(await everythingOf(place)).toEqual(stood);
  });

  test.each([
    [['--choose', 'smallest', ...SMALL], 'this run already trains for "balanced"'],
    [['--choose', 'balanced', '--budget', '1s', '--sample', '300'], 'sample: began with 400, got 300'],
    [['--out', 'other.onnx', '--target', 'docs', '--choose', 'balanced', ...SMALL], 'docs exists already'],
  ])('%j is refused, because it is another run', async (flags, message) => {
    const refused = await place.cli('shrink', 'docs', '--yes', ...flags);
    expect(refused.stderr).toContain(message);
    expect(refused.code).toBeGreaterThan(0);
  });

  test('--switch lets the alias lead to the target, once', async () => {
    const args = ['shrink', 'docs', '--yes', ...SMALL, '--switch', 'search', '--json'];
    const switched = await place.cli(...args);
    expect(switched.json()).toMatchObject({ switched: 'search', target: result.target });
    expect(await place.store.names.all()).toEqual(new Map([['search', result.target]]));
    expect((await place.cli(...args)).json()).toMatchObject({ switched: 'search' });
    expect(await place.store.names.all()).toEqual(new Map([['search', result.target]]));
  });
});
