import { existsSync } from 'node:fs';
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expectDefined } from '../../../src/core/errors.js';
import type { FlowProgram } from './compare-program.js';
import { fetchPackages, requireTool, runTool, unlessMissing } from './tools.js';

/** Where a program is, and where what was built of it is kept. */
export interface ProgramPlace {
  /** The folder that has a folder for each language. */
  readonly programs: string;
  readonly cache: string;
  readonly env?: NodeJS.ProcessEnv;
}

type Built = Omit<FlowProgram, 'modes'>;
type Build = (place: ProgramPlace) => Promise<Built>;

const PLACE: ProgramPlace = {
  programs: join(process.cwd(), 'test', 'integration', 'clients'),
  cache: join(process.cwd(), 'node_modules', '.cache', 'qdrant-tldr', 'clients'),
};

/** Returns a search for the program of a language. It is built first, and an error if it does not compile. */
export function programIn(language: string, build: Build): () => Promise<FlowProgram | null> {
  return () =>
    unlessMissing(`tests with the ${language} client`, async () => {
      await mkdir(PLACE.cache, { recursive: true });
      return { ...(await build(PLACE)), modes: ['grpc'] };
    });
}

/** Builds the program of Go. Its compiler keeps what it built before. */
export const buildGo: Build = async ({ programs, cache, env }) => {
  const options = { cwd: join(programs, 'go'), ...(env === undefined ? {} : { env }) };
  const command = join(cache, 'flow-go');
  await requireTool(['go', 'version'], [1, 24], options);
  await fetchPackages('go', ['mod', 'download'], options);
  await runTool('go', ['build', '-o', command, '.'], options);
  return { command, args: [] };
};

/** Builds the program of Rust in a folder that keeps what was built before. */
export const buildRust: Build = async ({ programs, cache, env }) => {
  const options = { cwd: join(programs, 'rust'), ...(env === undefined ? {} : { env }) };
  const target = join(cache, 'cargo');
  const printed = await requireTool(['cargo', '-vV'], [1, 88], options);
  const host = expectDefined(/^host: (\S+)$/m.exec(printed)?.[1], 'the platform of cargo');
  await fetchPackages('cargo', ['fetch', '--quiet', '--locked', '--target', host], options);
  await runTool('cargo', ['build', '--quiet', '--locked', '--offline', '--target-dir', target], options);
  return { command: join(target, 'debug', 'flow'), args: [] };
};

/** Compiles the program of Java; Maven says where its packages are. */
export const buildJava: Build = async ({ programs, cache, env }) => {
  const options = { cwd: join(programs, 'java'), ...(env === undefined ? {} : { env }) };
  const [classes, paths] = [join(cache, 'java'), join(cache, 'java-class-path')];
  await requireTool(['javac', '-version'], [11, 0], options);
  if (!existsSync(paths))
    await fetchPackages('mvn', ['-q', 'dependency:build-classpath', `-Dmdep.outputFile=${paths}`], options);
  const classPath = (await readFile(paths, 'utf8')).trim();
  await runTool('javac', ['-d', classes, '-cp', classPath, join(options.cwd, 'Flow.java')], options);
  return { command: 'java', args: ['-cp', `${classes}:${classPath}`, 'Flow'] };
};
