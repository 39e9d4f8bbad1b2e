import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { messageOf } from '../../../src/core/errors.js';
import type { FlowProgram } from './compare-program.js';

const run = promisify(execFile);
const CACHE = join(process.cwd(), 'node_modules', '.cache', 'qdrant-tldr', 'clients');
const PROGRAMS = join(process.cwd(), 'test', 'integration', 'clients');

/** Returns the program of a language, or null with a printed reason where its tools or packages cannot be had. */
async function built(
  language: string,
  build: () => Promise<Omit<FlowProgram, 'modes'>>,
): Promise<FlowProgram | null> {
  try {
    await mkdir(CACHE, { recursive: true });
    return { ...(await build()), modes: ['grpc'] };
  } catch (error) {
    const reason = messageOf(error).split('\n').slice(0, 3).join(' ');
    process.stderr.write(`tests with the ${language} client are skipped: ${reason}\n`);
    return null;
  }
}

/** Builds the program of Go. Its compiler keeps what it built before. */
export function buildGo(): Promise<FlowProgram | null> {
  return built('Go', async () => {
    const command = join(CACHE, 'flow-go');
    await run('go', ['build', '-o', command, '.'], { cwd: join(PROGRAMS, 'go') });
    return { command, args: [] };
  });
}

/** Builds the program of Rust in a folder that keeps what was built before. */
export function buildRust(): Promise<FlowProgram | null> {
  return built('Rust', async () => {
    const target = join(CACHE, 'cargo');
    await run('cargo', ['build', '--quiet', '--locked', '--target-dir', target], {
      cwd: join(PROGRAMS, 'rust'),
    });
    return { command: join(target, 'debug', 'flow'), args: [] };
  });
}

/** Compiles the program of Java; Maven says where its packages are. */
export function buildJava(): Promise<FlowProgram | null> {
  return built('Java', async () => {
    const [folder, classes, paths] = [
      join(PROGRAMS, 'java'),
      join(CACHE, 'java'),
      join(CACHE, 'java-class-path'),
    ];
    if (!existsSync(paths))
      await run('mvn', ['-q', 'dependency:build-classpath', `-Dmdep.outputFile=${paths}`], { cwd: folder });
    const classPath = (await readFile(paths, 'utf8')).trim();
    await run('javac', ['-d', classes, '-cp', classPath, join(folder, 'Flow.java')]);
    return { command: 'java', args: ['-cp', `${classes}:${classPath}`, 'Flow'] };
  });
}
