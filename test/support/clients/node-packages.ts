import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { copyFile, mkdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { messageOf } from '../../../src/core/errors.js';

const run = promisify(execFile);
const CACHE = join(process.cwd(), 'node_modules', '.cache', 'qdrant-tldr');

/**
 * Returns a folder with a program and the packages of the package.json beside it, which is made once. Returns null where
 * the packages cannot be had, and prints the reason.
 */
export async function programWithPackages(folder: string, program: string): Promise<string | null> {
  const list = join(folder, 'package.json');
  const hash = createHash('sha256').update(readFileSync(list)).digest('hex').slice(0, 12);
  const place = join(CACHE, `node-${hash}`);
  try {
    if (!existsSync(place)) await install(place, list);
    await copyFile(join(folder, program), join(place, program));
    return join(place, program);
  } catch (error) {
    const why = messageOf(error).split('\n').slice(0, 3).join(' ');
    process.stderr.write(`tests with ${list} are skipped: ${why}\n`);
    return null;
  }
}

/** Installs under another name first, so that a half-made folder is never used. */
async function install(place: string, list: string): Promise<void> {
  const draft = `${place}-${process.pid}`;
  try {
    await mkdir(draft, { recursive: true });
    await copyFile(list, join(draft, 'package.json'));
    // The vector stores name packages for every database as their peers.
    await run('npm', ['install', '--legacy-peer-deps', '--ignore-scripts', '--no-audit', '--no-fund'], {
      cwd: draft,
    });
    await rename(draft, place);
  } catch (error) {
    await rm(draft, { recursive: true, force: true });
    if (!existsSync(place)) throw error;
  }
}
