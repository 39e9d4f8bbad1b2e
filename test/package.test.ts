import { expect, test } from '@jest/globals';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

interface Lock {
  readonly packages: Readonly<
    Record<string, { readonly hasInstallScript?: boolean; readonly optional?: boolean }>
  >;
}

const json = (path: string): unknown => JSON.parse(readFileSync(path, 'utf8'));
const lock = json('package-lock.json') as Lock;
const { allowScripts } = json('package.json') as { allowScripts: Readonly<Record<string, boolean>> };

test('installing downloads nothing for CUDA, and goes on without a compiler', () => {
  // npm runs the install script of a locked package only if the lock file says that there is one.
  expect(lock.packages['node_modules/onnxruntime-node']).not.toHaveProperty('hasInstallScript');
  expect(allowScripts['onnxruntime-node']).toBe(false);
  expect(lock.packages['node_modules/hnswlib-node']?.optional).toBe(true);
});

test('for every package with an install script it is decided whether it runs', () => {
  const withScript = Object.keys(lock.packages).filter(
    (path) => lock.packages[path]?.hasInstallScript === true,
  );
  const undecided = withScript
    .map((path) => path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length))
    .filter((name) => !Object.hasOwn(allowScripts, name));
  expect(undecided).toEqual([]);
});

test('npm knows every setting of .npmrc', () => {
  // The names are those that npm's own help lists: it warns of any other.
  const known = execFileSync('npm', ['config', 'ls', '--long', '--json'], { encoding: 'utf8', cwd: '/' });
  const lines = readFileSync('.npmrc', 'utf8').split('\n');
  const settings = lines.filter((line) => line !== '' && !line.startsWith(';'));
  const unknown = settings.filter(
    (line) => !Object.hasOwn(JSON.parse(known) as object, line.split('=')[0] ?? ''),
  );
  expect(unknown).toEqual([]);
});

test('the package holds what the packaged Dockerfile and compose file read', () => {
  const printed = execFileSync('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], {
    encoding: 'utf8',
  });
  const [pack] = Object.values(JSON.parse(printed) as Record<string, { files: readonly { path: string }[] }>);
  const packed = (pack?.files ?? []).map(({ path }) => path);
  const holds = (path: string): boolean =>
    packed.some((file) => file === path || file.startsWith(`${path}/`));
  const copied = readFileSync('Dockerfile', 'utf8')
    .split('\n')
    .filter((line) => /^COPY (?!--from)/.test(line))
    .flatMap((line) => line.split(' ').slice(1, -1))
    // A pattern, which may match nothing: only a clone has this file.
    .filter((path) => !path.includes('['));
  const mounted = [...readFileSync('docker-compose.yml', 'utf8').matchAll(/- \.\/(deploy\/[^:]+):/g)];
  const needed = ['Dockerfile', '.dockerignore', ...copied, ...mounted.map(([, path = '']) => path)];
  expect(needed.length).toBeGreaterThan(8);
  expect(needed.filter((path) => !holds(path))).toEqual([]);
  const sent = readFileSync('.dockerignore', 'utf8').split('\n');
  expect(copied.filter((path) => !sent.includes(`!${path}`))).toEqual([]);
});
