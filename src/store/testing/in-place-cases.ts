import assert from 'node:assert/strict';
import { expectDefined } from '../../core/errors.js';
import {
  isInPlaceTarget,
  type InPlaceMigrations,
  type InPlaceRequest,
  type InPlaceWork,
} from '../in-place-target.js';
import { assertCode, type CaseOf, type ContractPlace } from './fixtures.js';

const DIM = 6;
const POINTS = 20;
/** The point without a vector. */
const LACKING = 3;
const OPTIONS = { lockWaitMs: 2_000 };

interface Place {
  readonly migrations: InPlaceMigrations;
  readonly request: InPlaceRequest;
}

async function placeOf(place: ContractPlace, name: string): Promise<Place> {
  const { store, opened } = place;
  assert.ok(isInPlaceTarget(store));
  const encoderFor = expectDefined(opened.encoderFor, 'encoderFor, which this facet needs');
  const ids = place.sortedIds(POINTS);
  await place.fill(name, { ids, dim: DIM, distance: 'cosine', lacksVector: (i) => i === LACKING });
  const encoder = encoderFor(DIM);
  const request = { collection: name, vectorName: undefined, encoder, datatype: undefined, hnswM: undefined };
  return { migrations: store.inPlace, request };
}

/** Goes through all phases, a few points at a time. Returns how many points were looked at. */
async function run(work: InPlaceWork): Promise<number> {
  for (let looked = 0; ;) {
    const { phase } = await work.state();
    if (phase === 'installing') await work.install();
    else if (phase === 'filling' || phase === 'repairing') looked += (await work.fillNext(3)).rows;
    else if (phase === 'indexing') await work.buildIndex();
    else if (phase === 'verifying') await work.verify({});
    else return looked;
  }
}

async function runsToTheEnd(place: ContractPlace): Promise<void> {
  const { migrations, request } = await placeOf(place, 'contract-in-place');
  const { inputDim, distance } = await migrations.plan(request);
  assert.deepEqual({ inputDim, distance }, { inputDim: DIM, distance: 'cosine' });
  const steps = await migrations.script(request, { form: 'none', name: undefined, candidates: 10 });
  assert.ok(steps.some(({ statements }) => statements.length > 0));
  assert.equal(await migrations.find(request), null);
  const work = await migrations.begin(request, OPTIONS);
  assert.equal(await run(work), POINTS);
  const { phase, verified } = await work.state();
  assert.equal(phase, 'ready');
  assert.deepEqual(verified, { points: POINTS - 1, missing: 0, orphans: 0, differing: 0, lines: [] });
  assert.notEqual((await migrations.find(request))?.runner, null);
  await work.remove();
  await work.release();
  assert.equal(await migrations.find(request), null);
}

async function continues(place: ContractPlace): Promise<void> {
  const { migrations, request } = await placeOf(place, 'contract-in-place-again');
  await assertCode(migrations.resume(request, OPTIONS), 'NOT_FOUND');
  const first = await migrations.begin(request, OPTIONS);
  await first.install();
  const { rows } = await first.fillNext(5);
  await first.release();
  assert.equal(await migrations.pause(request, 1_000), true);
  const second = await migrations.resume(request, OPTIONS);
  await assertCode(second.fillNext(5), 'ABORTED');
  await second.setPaused(false);
  assert.equal(await second.throttle(), null);
  const throttle = { maxLoad: '2x', nice: 0.5 };
  await migrations.setThrottle(request, throttle);
  assert.deepEqual(await second.throttle(), throttle);
  assert.deepEqual((await migrations.find(request))?.throttle, throttle);
  assert.equal(await run(second), POINTS - rows);
  await second.beginRepair();
  assert.equal(await run(second), POINTS);
  assert.equal((await second.state()).phase, 'ready');
  await second.remove();
  await second.release();
}

/** Migrations whose compact vectors stand beside the full ones. */
export const IN_PLACE_CASES: readonly CaseOf[] = [
  { facet: 'in-place', name: 'writes, compares and removes compact vectors', check: runsToTheEnd },
  { facet: 'in-place', name: 'continues where another process stopped, and repairs', check: continues },
];
