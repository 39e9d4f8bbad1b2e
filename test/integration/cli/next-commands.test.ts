import { afterAll, beforeAll, expect } from '@jest/globals';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, writeFile } from 'node:fs/promises';
import { delimiter, join, resolve } from 'node:path';
import { matrix } from '../../../src/core/matrix.js';
import { Rng } from '../../../src/core/rng.js';
import { writeNpy } from '../../../src/files/npy.js';
import { openCliPlace, type CliPlace } from '../../support/cli/cli-on-test-server.js';
import { testsOn } from '../../support/server/test-server.js';

const test = await testsOn('any');
const SOURCE = "it's $HOME docs";
const DIM = 16;
const POINTS = 400;
let place: CliPlace;

beforeAll(async () => {
  place = await openCliPlace('next');
  const program = join(place.cwd, 'qdrant-tldr');
  await writeFile(
    program,
    `#!/bin/sh\nexec '${process.execPath}' '${resolve('dist/src/cli/main.js')}' "$@"\n`,
  );
  await chmod(program, 0o755);
  const x = matrix(POINTS, DIM);
  const rng = new Rng(5);
  x.data.forEach((_, i) => (x.data[i] = Math.round(100 * rng.normal()) / 100));
  await writeNpy(join(place.cwd, 'my x.npy'), x, [x]);
  const path = `/collections/${encodeURIComponent(SOURCE)}`;
  await place.rest('PUT', path, { vectors: { size: DIM, distance: 'Cosine' } });
  const points = Array.from({ length: POINTS }, (_, i) => ({
    id: i,
    vector: [...x.data.subarray(i * DIM, (i + 1) * DIM)],
  }));
  await place.rest('PUT', `${path}/points?wait=true`, { points });
});

afterAll(() => place.end());

/** Runs a command line in a shell whose environment names no server. Returns the commands after "next:". */
async function pasted(command: string): Promise<string[]> {
  const env = { PATH: `${place.cwd}${delimiter}${process.env['PATH'] ?? ''}` };
  const child = spawn('sh', ['-c', command], { cwd: place.cwd, env });
  let [output, errors] = ['', ''];
  child.stdout.on('data', (chunk) => (output += String(chunk)));
  child.stderr.on('data', (chunk) => (errors += String(chunk)));
  const [code] = (await once(child, 'close')) as [number];
  if (code !== 0) throw new Error(`${command} ended with ${code}: ${output}${errors}`);
  expect(output).not.toContain('next:');
  const [, next = ''] = errors.split('next:\n');
  return next.split('\n').flatMap((line) => (line.startsWith('  ') ? [line.slice(2)] : []));
}

const quoted = (word: string): string => `'${word.replaceAll("'", `'\\''`)}'`;

test('from the first look to the end, each command names the next, which a shell runs as it is', async () => {
  const { url, grpcUrl } = place.server;
  const server = `--url ${url} --grpc-url ${grpcUrl}`;
  const name = quoted(SOURCE);
  const [plan] = await pasted(`qdrant-tldr inspect ${server} ${name}`);
  expect(plan).toBe(`qdrant-tldr plan ${name} --target 'recall@10>=0.97' ${server}`);
  const [planned] = await pasted(`${plan!} --dry-run`);
  expect(planned).toBe(plan);

  const train = `qdrant-tldr train ${name} --dim 4 --steps 5 --no-refit --out 'my enc.onnx' ${server}`;
  expect(await pasted(`${train} --dry-run`)).toEqual([train]);
  const [start] = await pasted(train);
  const target = quoted(`${SOURCE}_4`);
  const encoder = "--encoder 'my enc.onnx'";
  expect(start).toBe(`qdrant-tldr migrate start ${name} ${target} ${encoder} --layout two-stage ${server}`);
  const [evaluate, serve] = await pasted(`${start!} --yes`);
  expect(serve).toMatch(/^qdrant-tldr serve --collection /);
  expect(await pasted(`${evaluate!} --sample 20`)).toEqual([serve]);

  await place.rest('POST', '/collections/aliases', {
    actions: [{ create_alias: { collection_name: SOURCE, alias_name: 'my alias' } }],
  });
  const status = `qdrant-tldr migrate status ${name} ${target} ${server}`;
  const [, cutover] = await pasted(status);
  expect(cutover).toContain("--alias 'my alias'");
  const [execute] = await pasted(cutover!);
  expect(execute).toBe(`${cutover!} --execute`);
  const [complete, rollback] = await pasted(execute!);
  expect(rollback).toMatch(/^qdrant-tldr migrate rollback /);
  const [deletion] = await pasted(complete!);
  const [deleted] = await pasted(deletion!);
  expect(deleted).toBe(`${deletion!} --execute`);
  expect(await pasted(deleted!)).toEqual([]);
});

test('after training on a file, the file is evaluated and projected', async () => {
  const train = "qdrant-tldr train --input 'my x.npy' --dim 4 --steps 5 --no-refit --out of-file.onnx";
  const [evaluate, project] = await pasted(train);
  expect(evaluate).toBe("qdrant-tldr evaluate --encoder of-file.onnx --base 'my x.npy'");
  expect(await pasted(evaluate!)).toEqual([project]);
  expect(project).toBe("qdrant-tldr project --encoder of-file.onnx --input 'my x.npy' --out 'my x-4.npy'");
  expect(await pasted(project!)).toEqual([]);
});
