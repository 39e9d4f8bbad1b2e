import { join } from 'node:path';
import { messageOf, TldrError } from '../../core/errors.js';
import { makeOwnFolder } from './own-folder.js';
import type { SetAside } from './set-aside.js';
import { readIfThere, replaceFile } from '../state/whole-file.js';

/** How far the copy is: not begun, under way, or over; only then are writes brought to the target. */
export type CopyState = 'waiting' | 'copying' | 'copied';
/** Which collection clients read. */
export type Side = 'source' | 'target';

/** What the commands of a migration want of the process that follows its writes. */
export interface DesiredState {
  readonly state: CopyState;
  readonly side: Side;
}

/** What that process says of itself. */
export interface FollowerReport extends DesiredState {
  readonly pid: number;
  /** When it was written, in milliseconds since 1970. */
  readonly at: number;
  readonly source: string;
  readonly target: string;
  /** Fingerprint of what it projects by. */
  readonly encoder: string;
  /** Entries of the journal whose points are not known to be equal. */
  readonly open: number;
  /** Every point touched before the copy was finished has been brought over since, or set aside. */
  readonly caughtUp: boolean;
  /** Points that cannot be brought over as they are, and why the first of them cannot; null if there are none. */
  readonly setAside: SetAside | null;
}

const PLAN = 'plan.json';
const REPORT = 'proxy.json';
const STATES: readonly unknown[] = ['waiting', 'copying', 'copied'];
const SIDES: readonly unknown[] = ['source', 'target'];

/** What is wanted; before anybody wants anything, to wait. @throws INVALID_DATA for a file that is no plan */
export async function readDesiredState(folder: string): Promise<DesiredState> {
  const fields = await readFields(join(folder, PLAN));
  if (fields === null) return { state: 'waiting', side: 'source' };
  const { state, side } = fields;
  if (!STATES.includes(state) || !SIDES.includes(side)) throw wrong(join(folder, PLAN), 'it is no plan');
  return { state: state as CopyState, side: side as Side };
}

export async function writeDesiredState(folder: string, { state, side }: DesiredState): Promise<void> {
  await makeOwnFolder(folder);
  await replaceFile(join(folder, PLAN), `${JSON.stringify({ state, side })}\n`);
}

/** What the following process said last; null before there was one. @throws INVALID_DATA */
export async function readReport(folder: string): Promise<FollowerReport | null> {
  const fields = await readFields(join(folder, REPORT));
  if (fields === null) return null;
  // Reports of earlier versions say nothing of points that were set aside.
  const { state, side, pid, at, source, target, encoder, open, caughtUp, setAside = null } = fields;
  const known =
    STATES.includes(state) &&
    SIDES.includes(side) &&
    [pid, at, open].every((value) => typeof value === 'number') &&
    [source, target, encoder].every((value) => typeof value === 'string') &&
    typeof caughtUp === 'boolean' &&
    isSetAside(setAside);
  if (!known) throw wrong(join(folder, REPORT), 'it is no report');
  return { ...(fields as unknown as FollowerReport), setAside };
}

function isSetAside(value: unknown): value is SetAside | null {
  if (typeof value !== 'object' || value === null) return value === null;
  const { points, why }: { readonly points?: unknown; readonly why?: unknown } = value;
  return typeof points === 'number' && typeof why === 'string';
}

/** Where the report is. */
export function reportPath(folder: string): string {
  return join(folder, REPORT);
}

export async function writeReport(folder: string, report: FollowerReport): Promise<void> {
  await replaceFile(join(folder, REPORT), `${JSON.stringify(report)}\n`);
}

async function readFields(path: string): Promise<Record<string, unknown> | null> {
  try {
    const text = await readIfThere(path);
    if (text === null) return null;
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null) return { ...value };
  } catch (cause) {
    throw wrong(path, messageOf(cause), cause);
  }
  throw wrong(path, 'it is no object');
}

function wrong(path: string, why: string, cause?: unknown): TldrError {
  return new TldrError('INVALID_DATA', `cannot read ${path}: ${why}`, { cause });
}
