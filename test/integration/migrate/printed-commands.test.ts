import { afterAll, beforeAll, describe, expect } from '@jest/globals';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, writeFile } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { DIM } from '../../support/migrate/fixtures.js';
import { openCliPlace, type CliPlace } from '../../support/cli/cli-on-test-server.js';
import { testsOn } from '../../support/server/test-server.js';

const test = await testsOn('any');
const MAIN = fileURLToPath(new URL('../../../src/cli/main.js', import.meta.url));
const POINTS = 30;

let place: CliPlace;

beforeAll(async () => {
  place = await openCliPlace('printed');
  const program = join(place.cwd, 'qdrant-tldr');
  await writeFile(program, `#!/bin/sh\nexec '${process.execPath}' '${MAIN}' "$@"\n`);
  await chmod(program, 0o700);
});

afterAll(() => place.end());

/** Runs a command as a person does who pastes it into a shell; nobody is there to say yes to its question. */
async function paste(command: string): Promise<{ code: number; output: string }> {
  const { cwd, server } = place;
  const PATH = `${cwd}${delimiter}${process.env['PATH'] ?? ''}`;
  const env = { PATH, QDRANT_URL: server.url, QDRANT_TLDR_GRPC_URL: server.grpcUrl };
  const child = spawn('sh', ['-c', command.replace('migrate resume', 'migrate resume --yes')], { cwd, env });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output += String(chunk)));
  const [code] = (await once(child, 'close')) as [number];
  return { code, output };
}

async function fill(collection: string): Promise<void> {
  const path = `/collections/${encodeURIComponent(collection)}`;
  await place.rest('PUT', path, { vectors: { size: DIM, distance: 'Cosine' } });
  const vector = (i: number): number[] => Array.from({ length: DIM }, (_, j) => Math.cos(i * j + 1));
  const points = Array.from({ length: POINTS }, (_, i) => ({ id: i + 1, vector: vector(i) }));
  await place.rest('PUT', `${path}/points?wait=true`, { points });
}

describe.each([
  ['my coll', 'my coll small', 'state of mine.json'],
  ['-dash', "it's $HOME `id`", '-record.json'],
  ['--help', '$(id) & ; #x', 'plain.json'],
])('for the collection %s', (source, target, file) => {
  test('the commands that start and pause print can be pasted into a shell', async () => {
    await fill(source);
    const named = ['--', source, target];
    const flags = ['--encoder', 'enc.onnx', '--layout', 'compact', `--record=${file}`, '--yes'];
    const started = await place.cli('migrate', 'start', ...flags, ...named);
    expect(started).toMatchObject({ code: 0 });
    const said = /if this stops, `(qdrant-tldr migrate resume .*)` continues/.exec(
      started.stdout + started.stderr,
    )?.[1];
    expect(await paste(said ?? 'false')).toMatchObject({ code: 0 });
    const paused = await place.cli('migrate', 'pause', `--record=${file}`, ...named);
    const resume = /paused: `(qdrant-tldr migrate resume .*)` continues/.exec(
      paused.stdout + paused.stderr,
    )?.[1];
    expect(resume).toBe(said);
    expect(await paste(resume ?? 'false')).toMatchObject({ code: 0 });
    const status = await place.cli('migrate', 'status', `--record=${file}`, '--json', ...named);
    expect(status.json()).toMatchObject({ source, target, paused: false, phase: 'verified' });
  });
});
