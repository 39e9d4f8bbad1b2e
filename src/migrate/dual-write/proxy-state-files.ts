import { join } from 'node:path';
import { messageOf, TldrError } from '../../core/errors.js';
import { makeOwnFolder } from './private-folder.js';
import type { SetAside } from './points-set-aside.js';
import { readIfThere, replaceFile } from '../state/replace-file.js';

/**
 * State of the copy: not begun, under way, or over. Writes are brought to the target only when it is over.
 */
export type CopyState = 'waiting' | 'copying' | 'copied';
/** Which collection clients read. */
export type Side = 'source' | 'target';

/** The state that the migration's commands want from the proxy. */
export interface DesiredState {
  readonly state: CopyState;
  readonly side: Side;
}

/** The state that the proxy reports. */
export interface ProxyReport extends DesiredState {
  readonly pid: number;
  /** Time of the report, in milliseconds since 1970. */
  readonly at: number;
  readonly source: string;
  readonly target: string;
  /** Fingerprint of the proxy's encoder. */
  readonly encoder: string;
  /** Open entries of the journal: their points are not known to be equal. */
  readonly open: number;
  /** True if every point that was written before the copy was finished has been brought over or set aside. */
  readonly caughtUp: boolean;
  /** Points that were set aside; null if there are none. */
  readonly setAside: SetAside | null;
}

const PLAN = 'plan.json';
const REPORT = 'proxy.json';
const STATES: readonly unknown[] = ['waiting', 'copying', 'copied'];
const SIDES: readonly unknown[] = ['source', 'target'];

/** Returns the desired state; without a file, `waiting`. @throws INVALID_DATA when the file holds no plan */
export async function readDesiredState(folder: string): Promise<DesiredState> {
  const fields = await readFields(join(folder, PLAN));
  if (fields === null) return { state: 'waiting', side: 'source' };
  const { state, side } = fields;
  if (!STATES.includes(state) || !SIDES.includes(side))
    throw wrong(join(folder, PLAN), 'it does not hold a plan');
  return { state: state as CopyState, side: side as Side };
}

export async function writeDesiredState(folder: string, { state, side }: DesiredState): Promise<void> {
  await makeOwnFolder(folder);
  await replaceFile(join(folder, PLAN), `${JSON.stringify({ state, side })}\n`);
}

/**
 * Returns the proxy's last report; null if there is none.
 * @throws INVALID_DATA when the file holds no report
 */
export async function readReport(folder: string): Promise<ProxyReport | null> {
  const fields = await readFields(join(folder, REPORT));
  if (fields === null) return null;
  // Earlier versions did not report points that were set aside.
  const { state, side, pid, at, source, target, encoder, open, caughtUp, setAside = null } = fields;
  const known =
    STATES.includes(state) &&
    SIDES.includes(side) &&
    [pid, at, open].every((value) => typeof value === 'number') &&
    [source, target, encoder].every((value) => typeof value === 'string') &&
    typeof caughtUp === 'boolean' &&
    isSetAside(setAside);
  if (!known) throw wrong(join(folder, REPORT), 'it does not hold a report');
  return { ...(fields as unknown as ProxyReport), setAside };
}

function isSetAside(value: unknown): value is SetAside | null {
  if (typeof value !== 'object' || value === null) return value === null;
  const { points, why }: { readonly points?: unknown; readonly why?: unknown } = value;
  return typeof points === 'number' && typeof why === 'string';
}

/** Returns the path of the report. */
export function reportPath(folder: string): string {
  return join(folder, REPORT);
}

export async function writeReport(folder: string, report: ProxyReport): Promise<void> {
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
  throw wrong(path, 'it is not a JSON object');
}

function wrong(path: string, why: string, cause?: unknown): TldrError {
  return new TldrError('INVALID_DATA', `cannot read ${path}: ${why}`, { cause });
}
