import { join } from 'node:path';
import * as v from 'valibot';
import { checkJson } from '../../core/check-schema.js';
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
const DESIRED = v.looseObject({
  state: v.picklist(['waiting', 'copying', 'copied']),
  side: v.picklist(['source', 'target']),
});
const REPORTED = v.looseObject({
  ...DESIRED.entries,
  pid: v.number(),
  at: v.number(),
  source: v.string(),
  target: v.string(),
  encoder: v.string(),
  open: v.number(),
  caughtUp: v.boolean(),
  // Earlier versions did not report points that were set aside.
  setAside: v.nullish(v.looseObject({ points: v.number(), why: v.string() })),
});

/** Returns the desired state; without a file, `waiting`. @throws INVALID_DATA when the file holds no plan */
export async function readDesiredState(folder: string): Promise<DesiredState> {
  const desired = await readForm(join(folder, PLAN), DESIRED);
  return desired === null
    ? { state: 'waiting', side: 'source' }
    : { state: desired.state, side: desired.side };
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
  const report = await readForm(join(folder, REPORT), REPORTED);
  return report === null ? null : { ...report, setAside: report.setAside ?? null };
}

/** Returns the path of the report. */
export function reportPath(folder: string): string {
  return join(folder, REPORT);
}

export async function writeReport(folder: string, report: ProxyReport): Promise<void> {
  await replaceFile(join(folder, REPORT), `${JSON.stringify(report)}\n`);
}

/** Returns the content of a file; null if there is none. @throws INVALID_DATA when it has another form */
async function readForm<Schema extends v.GenericSchema>(
  path: string,
  schema: Schema,
): Promise<v.InferInput<Schema> | null> {
  try {
    const text = await readIfThere(path);
    return text === null ? null : checkJson(schema, text);
  } catch (cause) {
    throw new TldrError('INVALID_DATA', `cannot read ${path}: ${messageOf(cause)}`, { cause });
  }
}
