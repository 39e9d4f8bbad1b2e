import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { buildGo, buildJava, buildRust, type ProgramPlace } from '../../support/clients/toolchains.js';
import { requireTool, ToolMissing, unlessMissing } from '../../support/clients/tools.js';
import { pythonWith } from '../../support/python/python.js';

/** Programs that need no package, and do nothing but this call. */
const LANGUAGES = [
  {
    name: 'Go',
    build: buildGo,
    tool: ['go', 'version'],
    file: 'go/main.go',
    program: (call: string) => `package main\n\nfunc main() { ${call} }\n`,
  },
  {
    name: 'Rust',
    build: buildRust,
    tool: ['cargo', '--version'],
    file: 'rust/src/main.rs',
    program: (call: string) => `fn main() { ${call} }\n`,
  },
  {
    name: 'Java',
    build: buildJava,
    tool: ['javac', '-version'],
    file: 'java/Flow.java',
    program: (call: string) => `class Flow { public static void main(String[] args) { ${call} } }\n`,
  },
] as const;
const PACKAGE = 'a-package-that-nobody-has';
const NO_PROXIES = { http_proxy: '', https_proxy: '', HTTP_PROXY: '', HTTPS_PROXY: '', ALL_PROXY: '' };

let folder: string;
let place: ProgramPlace;
/** A registry that has no package, and an address where none is. */
let registry: Server;
let addresses: { readonly empty: string; readonly unreachable: string };

const write = async (file: string, text: string): Promise<void> => {
  const path = join(folder, file);
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, text);
};
const variables = (more: NodeJS.ProcessEnv): NodeJS.ProcessEnv => ({
  ...process.env,
  ...NO_PROXIES,
  ...more,
});
const failureOf = (build: Promise<unknown>): Promise<unknown> =>
  build.then(
    () => 'it was built',
    (error: unknown) => error,
  );

/** A test that runs where this tool is. */
async function testWith(tool: readonly [string, ...string[]]): Promise<typeof test.skip> {
  const printed = await unlessMissing(`a test with ${tool[0]}`, () => requireTool(tool, [0, 0]));
  return printed === null ? test.skip : test;
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'qdrant-tldr-tools-'));
  place = { programs: folder, cache: join(folder, 'cache') };
  await write('bin/readme.txt', 'Has no tools.');
  await write('cache/java-class-path', '');
  await write('go/go.mod', 'module flow\n\ngo 1.24.0\n');
  await write('rust/Cargo.toml', '[package]\nname = "flow"\nversion = "0.0.0"\nedition = "2021"\n');
  await write('rust/Cargo.lock', 'version = 3\n\n[[package]]\nname = "flow"\nversion = "0.0.0"\n');
  for (const { file, program } of LANGUAGES) await write(file, program(''));
  registry = createServer((_request, response) => response.writeHead(404).end());
  await new Promise<void>((resolve) => registry.listen(0, '127.0.0.1', resolve));
  const empty = `http://127.0.0.1:${(registry.address() as AddressInfo).port}`;
  addresses = { empty, unreachable: 'http://127.0.0.1:1' };
});
afterAll(async () => {
  registry.close();
  await rm(folder, { recursive: true, force: true, maxRetries: 3 });
});

test.each(LANGUAGES.map(({ name, build }) => [name, build] as const))(
  '%s: without its tool, tests are left out',
  async (_name, build) => {
    const without = { ...place, env: { PATH: join(folder, 'bin') } };
    expect(await failureOf(build(without))).toBeInstanceOf(ToolMissing);
    expect(await unlessMissing('these tests', () => build(without))).toBeNull();
  },
);

test('with a tool that is too old, tests are left out', async () => {
  await write('old/go', '#!/bin/sh\necho go version go1.19.8 linux/amd64\n');
  await chmod(join(folder, 'old/go'), 0o755);
  const failure = await failureOf(buildGo({ ...place, env: { PATH: join(folder, 'old') } }));
  expect(failure).toBeInstanceOf(ToolMissing);
  expect(String(failure)).toContain('go is too old: 1.24 is needed');
});

for (const { name, build, tool, file, program } of LANGUAGES) {
  const toolTest = await testWith([...tool]);
  toolTest(`${name}: a program that does not compile is an error`, async () => {
    expect(await build(place)).toMatchObject({ args: expect.any(Array) });
    await write(file, program('undeclared();'));
    const failure = await failureOf(unlessMissing('these tests', () => build(place)));
    expect(failure).toBeInstanceOf(Error);
    expect(String(failure)).toContain('undeclared');
  });
}

const goTest = await testWith(['go', 'version']);
goTest(
  'Go: no registry leaves tests out; a package that the registry does not have is an error',
  async () => {
    await write('needs/go/go.mod', `module flow\n\ngo 1.24.0\n\nrequire example.org/${PACKAGE} v1.0.0\n`);
    const build = (registryUrl: string): Promise<unknown> =>
      failureOf(
        buildGo({
          ...place,
          programs: join(folder, 'needs'),
          env: variables({
            GOPROXY: registryUrl,
            GOMODCACHE: join(folder, 'go-modules'),
            GOFLAGS: '-modcacherw',
          }),
        }),
      );
    expect(await build(addresses.unreachable)).toBeInstanceOf(ToolMissing);
    const failure = await build(addresses.empty);
    expect(failure).not.toBeInstanceOf(ToolMissing);
    expect(String(failure)).toContain(PACKAGE);
  },
);

const pythonTest = await testWith(['python3', '-m', 'pip', '--version']);
pythonTest('Python: the same, and a module that cannot be imported is an error', async () => {
  await write('requirements.txt', `${PACKAGE}==1.0.0\n`);
  await write('no-requirements.txt', '# nothing\n');
  const find = (module: string, requirements: string, registryUrl: string): Promise<unknown> =>
    failureOf(
      pythonWith(module, join(folder, requirements), {
        cache: place.cache,
        env: variables({ PIP_INDEX_URL: registryUrl, PIP_RETRIES: '1', PIP_FIND_LINKS: '' }),
      }),
    );
  const { empty, unreachable } = addresses;
  expect(await find('json', 'requirements.txt', unreachable)).toBeInstanceOf(ToolMissing);
  expect(String(await find('json', 'requirements.txt', empty))).toMatch(
    /^Error: .*No matching distribution/s,
  );
  expect(await find('json', 'no-requirements.txt', empty)).toBe('it was built');
  const failure = await find('no_such_module', 'no-requirements.txt', empty);
  expect(failure).not.toBeInstanceOf(ToolMissing);
  expect(String(failure)).toContain("No module named 'no_such_module'");
});
