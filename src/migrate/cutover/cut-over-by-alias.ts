import { allNames, hidingNames, switchableNames } from '../../store/facets.js';
import { TldrError } from '../../core/errors.js';
import type { RunOptions } from '../../core/run-options.js';
import {
  catchUp,
  catchUpFrozen,
  passesFromState,
  type CatchUpRequest,
  type CaughtUp,
} from '../catch-up/repeat-passes.js';
import type { CatchUpPasses } from '../catch-up/one-pass.js';
import type { Sides } from '../points/compare-points.js';
import { RecordedProjector } from '../points/projector.js';
import { proxyControlOf } from '../dual-write/proxy-control.js';
import { withMigrationState, type StartedMigration } from '../state/with-lock.js';
import { announce, factsOf, type EventFacts, type MigrationHook } from '../plan/migration-events.js';
import type { CutOver, MigrationState } from '../state/migration-state.js';
import { isOwnTarget } from '../state/own-target.js';
import { checkProxyReady, checkForm, COPIED, readByProxy } from './cut-over-by-proxy.js';
import { checkClientsProject } from './clients-of-compact-target.js';
import { FORCE_WORDS } from './force-words.js';

/** Default of the longest wait for a proxy. */
const PROXY_WAIT_MS = 60_000;

/** Input of `cutOver`. */
export interface CutOverRequest extends StartedMigration, RunOptions {
  readonly form: CutOver['form'];
  /** The alias to switch. Not used by the other forms, which switch the source's own name. */
  readonly alias?: string | undefined;
  /** `FORCE_WORDS` to switch without a verification. */
  readonly force?: string | undefined;
  /**
   * Says that clients send compact vectors, or reach the target by the proxy. Without it, no name is switched to a target
   * of the layout `compact`, at which queries with full vectors fail.
   */
  readonly clientsProject?: boolean | undefined;
  readonly hook?: MigrationHook | undefined;
  /** Catch-up options if clients write to the source until the switch. Replaces the verification. */
  readonly catchUp?: CatchUpRequest | undefined;
  /** Longest wait for the proxy, in the form `proxy` only. */
  readonly waitMs?: number | undefined;
}

/** Result of a cut-over. */
export interface CutOverReport extends Switch {
  readonly caughtUp: CaughtUp | null;
  /** Time from the before-cutover hook to the switch. Null if the switch had been made before. */
  readonly frozenMs: number | null;
}

/** A planned switch, or one that was found to be made already. */
export interface Switch {
  readonly form: CutOver['form'];
  readonly name: string;
  /** The collection that the name leads to now; null if the alias does not exist. */
  readonly from: string | null;
  readonly to: string;
  readonly made: boolean;
}

/**
 * Returns the switch that would send clients to the target, if it is allowed. Writes nothing.
 * @throws VERIFY_FAILED when no verification found the copy equal
 * @throws INVALID_ARGUMENT when the name cannot be switched, UNSUPPORTED when the store has no bare-name
 * switch
 */
export async function planCutOver(request: CutOverRequest, state: MigrationState): Promise<Switch> {
  const { target, form } = request;
  const name = form === 'alias' ? request.alias : state.sourceCollection;
  const to = state.targetCollection;
  if (name === undefined || name === '') {
    throw new TldrError('INVALID_ARGUMENT', 'no alias is named to switch', { hint: 'name-alias' });
  }
  checkForm(request, state);
  if (!(await isOwnTarget(target, state)))
    throw new TldrError('NOT_FOUND', `${to} does not exist, or was not made by this migration`);
  const from =
    form === 'proxy' ? await readByProxy(state) : await whereNameLeads({ target, form, name }, state);
  const open = state.cutOver;
  if (open !== null && open.state !== 'rolled-back' && open.name !== name) {
    throw new TldrError('INVALID_ARGUMENT', `"${open.name}" was already cut over: roll it back first`);
  }
  const made = from === to;
  if (!made) await checkVerified(request, state);
  return { form, name, from, to, made };
}

/**
 * Returns where the name leads now.
 * @throws INVALID_ARGUMENT when this name must not be switched
 * @throws UNSUPPORTED when the store cannot switch a collection's own name
 */
async function whereNameLeads(
  { target, form, name }: Pick<CutOverRequest, 'target' | 'form'> & { readonly name: string },
  state: MigrationState,
): Promise<string | null> {
  const to = state.targetCollection;
  const collections = await target.listCollections();
  const live = (await allNames(target)).get(name);
  const from = live ?? (form === 'alias' ? null : state.sourceCollection);
  if (form === 'alias' && collections.includes(name)) {
    throw new TldrError('INVALID_ARGUMENT', `"${name}" is a collection, not an alias`, {
      hint: 'switch-own-name',
    });
  }
  if (form === 'bare-name') {
    if (state.sourceEndpoint !== state.targetEndpoint)
      throw new TldrError(
        'INVALID_ARGUMENT',
        "a collection's own name can only be switched if source and target are on the same server",
      );
    const refusal = await hidingNames(target).refusal();
    if (refusal !== null)
      throw new TldrError('UNSUPPORTED', `the name ${name} cannot be switched: ${refusal}`);
  }
  if (from !== null && from !== state.sourceCollection && from !== to) {
    throw new TldrError(
      'INVALID_ARGUMENT',
      `"${name}" leads to ${from}, which is neither source nor target of this migration`,
    );
  }
  return from;
}

/**
 * Checks that a verification found the copy equal. Without a proxy, counts both collections again, because
 * later writes are not in the target.
 * @throws VERIFY_FAILED when the copy is not finished, not verified, or has changed since
 * @throws INVALID_ARGUMENT when `force` holds other words
 * @throws UNAVAILABLE when the cut-over is by the proxy and none is running
 */
async function checkVerified(
  { source, target, form, force, catchUp: how }: CutOverRequest,
  state: MigrationState,
): Promise<void> {
  const forced = force === FORCE_WORDS;
  if (form === 'proxy') await checkProxyReady(state, { forced });
  if (forced) return;
  if (how !== undefined) {
    if (COPIED.includes(state.phase)) return;
    throw new TldrError('VERIFY_FAILED', `the copy is not finished: it is ${state.phase}`, {
      hint: 'resume-catch-up',
    });
  }
  if (force !== undefined)
    throw new TldrError('INVALID_ARGUMENT', `force takes these words: "${FORCE_WORDS}"`, { option: 'force' });
  const { phase, verifiedPoints, sourceCollection, targetCollection } = state;
  if (phase !== 'verified' || verifiedPoints === null) {
    const how = phase === 'repairing' ? 'it was found to differ' : `it is ${phase}`;
    throw new TldrError('VERIFY_FAILED', `the copy is not verified: ${how}`, { hint: 'resume-migration' });
  }
  // While clients write, two counts never belong to one moment. The verification compared the ids of both
  // collections. Later writes stay in the journal until the target has them, and the proxy switches only when
  // no entry is open.
  if (form === 'proxy') return;
  const counts = [await source.count(sourceCollection), await target.count(targetCollection)];
  if (counts.some((count) => count !== verifiedPoints)) {
    throw new TldrError(
      'VERIFY_FAILED',
      `the verification is out of date: ${verifiedPoints} points were equal then, now there are ${counts[0]} in ${sourceCollection} and ${counts[1]} in ${targetCollection}`,
      { hint: 'verify-and-repair' },
    );
  }
}

/**
 * Sends clients to the target by one atomic switch of a name. First it stores where the name led, for a
 * rollback. If it is called again after a crash, it finds out what was done. With `catchUp`, it first brings
 * the target near the source; after the before-cutover hook, which has to stop the writers, it makes both
 * equal.
 * @throws as `planCutOver` and `catchUpFrozen`, INVALID_ARGUMENT for a compact target without `clientsProject`, or the
 * before-cutover hook's error; then nothing was switched
 * @example
 * ```ts
 * // Given: Qdrant, a finished migration
 * import { cutOver, stateFile } from 'qdrant-tldr';
 * import { openQdrant } from 'qdrant-tldr/qdrant';
 *
 * const store = await openQdrant({ url: 'http://localhost:6333' });
 * const migration = { source: store, target: store, place: stateFile('docs.migration.json') };
 * const { from, to } = await cutOver({ ...migration, form: 'alias', alias: 'search', clientsProject: true });
 * console.log(`"search" led to ${from ?? 'nothing'} and leads to ${to}`);
 * await store.close();
 * ```
 */
export function cutOver(request: CutOverRequest): Promise<CutOverReport> {
  return withMigrationState(request, async (state, lost) => {
    const first = await planCutOver(request, state);
    const facts = { ...factsOf(state), alias: first.name, previous: first.from ?? '' };
    if (first.made) {
      await makeSwitch(request, state, first);
      return { ...first, caughtUp: null, frozenMs: null };
    }
    if (request.form !== 'proxy') await checkClientsProject(request.target, first, request.clientsProject);
    const { catchUp: how } = request;
    if (how === undefined) return switchAfterHook(request, state, { facts, lost });
    const projector = new RecordedProjector(how.encoder, state.projector, request);
    try {
      const near = await catchUpToLag(request, state, { ...how, projector, lost });
      return await switchAfterHook(request, state, { facts, near, lost });
    } finally {
      await projector.close();
    }
  });
}

/** Calls the before-cutover hook, catches up with the frozen source, and switches. */
async function switchAfterHook(
  request: CutOverRequest,
  state: MigrationState,
  {
    facts,
    near,
    lost,
  }: { readonly facts: EventFacts; readonly near?: NearTarget; readonly lost: AbortSignal },
): Promise<CutOverReport> {
  const frozenAtMs = performance.now();
  await request.hook?.('before-cutover', facts);
  try {
    const caughtUp = near === undefined ? null : await catchUpWhileFrozen(request, state, { ...near, lost });
    // Planned again, because the hook may have taken long.
    const planned = await planCutOver(atEnd(request), state);
    lost.throwIfAborted();
    await makeSwitch(request, state, planned, caughtUp?.lag);
    const frozenMs = Math.round(performance.now() - frozenAtMs);
    await announce(request.hook, 'after-cutover', { facts, run: request });
    return { ...planned, caughtUp, frozenMs };
  } catch (error) {
    await announce(request.hook, 'cutover-failed', { facts, run: request });
    throw error;
  }
}

/**
 * Returns the request for the last check before the switch. If writes were frozen, it is checked like a cut-over
 * without catch-up.
 */
function atEnd(request: CutOverRequest): CutOverRequest {
  return request.catchUp?.withoutFreeze === true ? request : { ...request, catchUp: undefined };
}

/** Returns a signal that fires when the caller stops, or the lock on the migration state is lost. */
function eitherOf({ signal }: RunOptions, lost: AbortSignal): AbortSignal {
  return signal === undefined ? lost : AbortSignal.any([lost, signal]);
}

interface NearTarget {
  readonly catchUpPasses: CatchUpPasses;
  readonly caughtUp: CaughtUp;
}

/** Brings the target near the source while clients write. */
async function catchUpToLag(
  request: CutOverRequest,
  state: MigrationState,
  { lost, ...how }: CatchUpRequest & Pick<Sides, 'projector'> & { readonly lost: AbortSignal },
): Promise<NearTarget> {
  const { log, place } = request;
  state.phase = 'following';
  state.verifiedPoints = null;
  await place.write(state);
  const signal = eitherOf(request, lost);
  const catchUpPasses = await passesFromState(request, state, { ...how, signal });
  return { catchUpPasses, caughtUp: await catchUp(catchUpPasses, { lagMax: how.lagMax, log }) };
}

/** Makes the target equal to the frozen source. Does nothing if a lag without a freeze was allowed. */
async function catchUpWhileFrozen(
  request: CutOverRequest,
  state: MigrationState,
  { catchUpPasses, caughtUp, lost }: NearTarget & { readonly lost: AbortSignal },
): Promise<CaughtUp> {
  const { catchUp: how, source, target, place } = request;
  if (how === undefined || how.withoutFreeze === true) return caughtUp;
  const collection = state.sourceCollection;
  const signal = eitherOf(request, lost);
  const { freezeMsMax } = how;
  const frozen = await catchUpFrozen(catchUpPasses, { source, collection, freezeMsMax, signal });
  state.phase = 'verified';
  state.verifiedPoints = await target.count(state.targetCollection);
  await place.write(state);
  return { ...frozen, passes: caughtUp.passes + frozen.passes };
}

async function makeSwitch(
  request: CutOverRequest,
  state: MigrationState,
  { form, name, from, to, made }: Switch,
  lag = 0,
): Promise<void> {
  const { target, place, force } = request;
  const before = state.cutOver;
  const resumed = before !== null && before.state !== 'rolled-back' && before.name === name;
  if (!resumed && made) {
    throw new TldrError(
      'ALREADY_EXISTS',
      `"${name}" already leads to ${to}, but this migration did not switch it`,
    );
  }
  const begun: CutOver = resumed
    ? { ...before, state: 'begun' }
    : {
        form,
        name,
        previous: form === 'alias' ? from : null,
        forced: force !== undefined,
        ...(lag === 0 ? {} : { lag }),
        state: 'begun',
      };
  state.cutOver = begun;
  await place.write(state);
  if (!made && form === 'alias') await switchableNames(target).switch(name, to);
  if (!made && form === 'bare-name') await hidingNames(target).hide(name, to);
  if (!made && form === 'proxy') await switchProxy(request, state, before);
  state.cutOver = { ...begun, state: 'done' };
  await place.write(state);
}

/** Makes the proxy switch. If that fails, clients stay on the source. @throws the errors of `ProxyControl.toTarget` */
async function switchProxy(
  { place, waitMs = PROXY_WAIT_MS, signal, log, onProgress }: CutOverRequest,
  state: MigrationState,
  before: CutOver | null,
): Promise<void> {
  try {
    await proxyControlOf(state)?.toTarget({ signal, log, onProgress }, waitMs);
  } catch (error) {
    state.cutOver = before === null ? null : { ...before, state: 'rolled-back' };
    await place.write(state);
    throw error;
  }
}
