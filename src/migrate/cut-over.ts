import { TldrError } from '../core/errors.js';
import type { RunOptions } from '../core/run.js';
import { withRecord, type RecordedMigration } from './held-record.js';
import { announce, factsOf, type MigrationHook } from './migration-events.js';
import type { CutOver, MigrationRecord } from './migration-record.js';
import { isOwnTarget } from './own-target.js';

/** What has to be said to switch without a verification. */
export const FORCE_WORDS = 'I know the copy is not verified';

export interface CutOverRequest extends RecordedMigration, RunOptions {
  readonly form: CutOver['form'];
  /** The alias; not used in the bare-name form, where the source's own name is switched. */
  readonly alias?: string | undefined;
  /** `FORCE_WORDS`, to switch without a verification. */
  readonly force?: string | undefined;
  readonly hook?: MigrationHook | undefined;
}

/** A switch about to be made, or found to be made already. */
export interface Switch {
  readonly form: CutOver['form'];
  readonly name: string;
  /** What the name leads to now: a collection, or null for an alias that is not there. */
  readonly from: string | null;
  readonly to: string;
  readonly made: boolean;
}

/**
 * Looks whether clients can be sent to the target, and what that would change; writes nothing.
 * @throws VERIFY_FAILED where the copy was not found equal, INVALID_ARGUMENT for a name that cannot be switched,
 * UNSUPPORTED for a bare name on this store
 */
export async function planCutOver(request: CutOverRequest, record: MigrationRecord): Promise<Switch> {
  const { target, form } = request;
  const name = form === 'alias' ? request.alias : record.sourceCollection;
  const to = record.targetCollection;
  if (name === undefined || name === '') {
    throw new TldrError('INVALID_ARGUMENT', 'say which alias to switch with --alias');
  }
  if (!(await isOwnTarget(target, record)))
    throw new TldrError('NOT_FOUND', `${to} is not there, or not what this migration made`);
  const collections = await target.listCollections();
  const live = (await target.aliases()).get(name);
  const from = live ?? (form === 'alias' ? null : record.sourceCollection);
  if (form === 'alias' && collections.includes(name)) {
    throw new TldrError(
      'INVALID_ARGUMENT',
      `"${name}" is a collection, not an alias: clients that use a collection's own name are switched by the proxy, or by --bare-name on a single server`,
    );
  }
  if (form === 'bare-name') {
    if (record.sourceEndpoint !== record.targetEndpoint)
      throw new TldrError('INVALID_ARGUMENT', 'source and target are on different servers');
    const refusal = await target.shadowingRefusal();
    if (refusal !== null) throw new TldrError('UNSUPPORTED', `--bare-name is refused: ${refusal}`);
  }
  if (from !== null && from !== record.sourceCollection && from !== to) {
    throw new TldrError(
      'INVALID_ARGUMENT',
      `"${name}" leads to ${from}, which is neither source nor target of this migration`,
    );
  }
  const open = record.cutOver;
  if (open !== null && open.state !== 'rolled-back' && open.name !== name) {
    throw new TldrError('INVALID_ARGUMENT', `"${open.name}" was cut over already: roll back first`);
  }
  const made = from === to;
  if (!made) await checkVerified(request, record);
  return { form, name, from, to, made };
}

/** Counted again as well: what was written since the verification is not in the target. */
async function checkVerified(
  { source, target, force }: CutOverRequest,
  record: MigrationRecord,
): Promise<void> {
  if (force === FORCE_WORDS) return;
  if (force !== undefined)
    throw new TldrError('INVALID_ARGUMENT', `--force takes these words: "${FORCE_WORDS}"`);
  const { phase, verifiedPoints, sourceCollection, targetCollection } = record;
  if (phase !== 'verified' || verifiedPoints === null) {
    const how = phase === 'repairing' ? 'it was found to differ' : `it is ${phase}`;
    throw new TldrError('VERIFY_FAILED', `the copy is not verified: ${how}; \`migrate resume\` goes on`);
  }
  const counts = [await source.count(sourceCollection), await target.count(targetCollection)];
  if (counts.some((count) => count !== verifiedPoints)) {
    throw new TldrError(
      'VERIFY_FAILED',
      `the verification is out of date: ${verifiedPoints} points were equal then, now there are ${counts[0]} in ${sourceCollection} and ${counts[1]} in ${targetCollection}; pause the writers, then \`migrate verify\`, and \`migrate resume\` to repair`,
    );
  }
}

/**
 * Sends clients to the target by one atomic switch of a name. What the name led to is recorded before, for the way
 * back. Called again after a crash it finds out what was done.
 * @throws as `planCutOver`, and what the before-cutover hook throws, then with nothing switched
 */
export function cutOver(request: CutOverRequest): Promise<Switch> {
  return withRecord(request, async (record, lost) => {
    const first = await planCutOver(request, record);
    const facts = { ...factsOf(record), alias: first.name, previous: first.from ?? '' };
    if (!first.made) await request.hook?.('before-cutover', facts);
    // Once more: a hook may take its time.
    const planned = await planCutOver(request, record);
    lost.throwIfAborted();
    await makeSwitch(request, record, planned);
    if (!first.made) await announce(request.hook, 'after-cutover', { facts, run: request });
    return planned;
  });
}

async function makeSwitch(
  { target, place, force }: CutOverRequest,
  record: MigrationRecord,
  { form, name, from, to, made }: Switch,
): Promise<void> {
  const before = record.cutOver;
  const resumed = before !== null && before.state !== 'rolled-back' && before.name === name;
  if (!resumed && made) {
    throw new TldrError('ALREADY_EXISTS', `"${name}" leads to ${to} already, but not by this migration`);
  }
  const begun: CutOver = resumed
    ? { ...before, state: 'begun' }
    : { form, name, previous: form === 'alias' ? from : null, forced: force !== undefined, state: 'begun' };
  record.cutOver = begun;
  await place.write(record);
  if (!made) await (form === 'alias' ? target.switchAlias(name, to) : target.shadowName(name, to));
  record.cutOver = { ...begun, state: 'done' };
  await place.write(record);
}
