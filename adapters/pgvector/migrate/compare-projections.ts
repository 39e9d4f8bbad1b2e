import { expectDefined } from '../../../src/core/errors.js';
import { matrix } from '../../../src/core/matrix.js';
import { throwIfAborted, type RunOptions } from '../../../src/core/run-options.js';
import { Encoder } from '../../../src/encoder/model.js';
import type { InPlaceDifferences } from '../../../src/store/in-place-target.js';
import { quoted } from '../catalog/identifiers.js';
import { numberIn, textIn } from '../catalog/values.js';
import type { Row } from '../connect/connections.js';
import { storedWeights } from '../sql/stored-weights.js';
import { indexedProjection } from './base-index.js';
import { TOLERANCE } from './compare.js';
import { inRange, rangeEnd } from './fill.js';
import { baseKeys, hasFullVector, objectsOf, type MigrationFacts } from './objects.js';
import type { SessionQuery } from '../connect/session.js';

/** Rows that one statement projects. */
const RANGE_ROWS = 2_000;
/** Rows whose projection is compared with that of the encoder file, if nobody asks for more or fewer. */
const SAMPLE_ROWS = 200;
/** Keys that are shown. */
const SHOWN = 5;

/**
 * Checks an index of projections, which PostgreSQL itself keeps equal to the rows: every row can be projected, and a
 * random sample is projected as the encoder file does it, here and not in the database.
 */
export async function compareProjections(
  query: SessionQuery,
  facts: MigrationFacts,
  { sample, total, ...run }: RunOptions & { readonly sample: number | undefined; readonly total: number },
): Promise<InPlaceDifferences> {
  const sampled = await sampledDifferences(query, facts, sample ?? SAMPLE_ROWS);
  if (sample !== undefined) return sampled;
  const { base } = objectsOf(facts);
  const full = `t.${quoted(facts.column)}`;
  const compact = indexedProjection(facts, full, 'indexedProject');
  let [points, missing] = [0, 0];
  for (let after: readonly string[] | null = null; ;) {
    throwIfAborted(run.signal);
    const upTo: readonly string[] | null = await rangeEnd(query, facts, { after, rows: RANGE_ROWS });
    const [row] = await query(
      `select pg_catalog.count(*)::pg_catalog.text as points, (pg_catalog.count(*) - pg_catalog.count(${compact}))::pg_catalog.text as missing
       from ${base} t where ${inRange(facts, baseKeys(facts, 't'), { after, upTo })} and ${hasFullVector(facts, full)}`,
    );
    const counts = expectDefined(row, 'the result of a comparison');
    points += numberIn(counts, 'points');
    missing += numberIn(counts, 'missing');
    run.onProgress?.({ step: 'verifying', done: points, total, unit: 'points' });
    if (upTo === null) break;
    after = upTo;
  }
  const lines = missing === 0 ? [] : [`${missing} rows have no compact vector`];
  return { ...sampled, points, missing, lines: [...lines, ...sampled.lines] };
}

/** Compares random rows with the encoder file. */
async function sampledDifferences(
  query: SessionQuery,
  facts: MigrationFacts,
  size: number,
): Promise<InPlaceDifferences> {
  const { base } = objectsOf(facts);
  const full = `t.${quoted(facts.column)}`;
  const rows = await query(
    `select pg_catalog.concat_ws(', ', ${baseKeys(facts, 't').join(', ')}) as key, ${full}::pg_catalog.text as full,
       ${indexedProjection(facts, full, 'indexedProject')}::pg_catalog.text as compact
     from ${base} t where ${hasFullVector(facts, full)} order by pg_catalog.random() limit ${size}`,
  );
  const encoder = await encoderOf(query, facts);
  const { points } = await storedWeights({ query }, objectsOf(facts).weights);
  const tolerance = TOLERANCE[points === 'halfvec' ? 'halfvec' : facts.compactType];
  const differing = rows.filter((row) => !isSame(row, encoder, tolerance));
  return {
    points: rows.length,
    missing: 0,
    orphans: 0,
    differing: differing.length,
    lines: differing
      .slice(0, SHOWN)
      .map((row) => `row ${textIn(row, 'key')}: the database projects it in another way than the encoder`),
  };
}

async function encoderOf(query: SessionQuery, { fingerprint }: MigrationFacts): Promise<Encoder> {
  const [row] = await query(
    `select pg_catalog.encode(file, 'base64') as file from "tldr"."encoder" where fingerprint = $1`,
    [fingerprint],
  );
  const file = textIn(expectDefined(row, 'the encoder'), 'file');
  return Encoder.fromBytes(Buffer.from(file, 'base64'));
}

function isSame(row: Row, encoder: Encoder, tolerance: number): boolean {
  const full = numbersOf(textIn(row, 'full'));
  const compact = numbersOf(textIn(row, 'compact'));
  const { data } = encoder.project(matrix(1, full.length, Float32Array.from(full)));
  const difference = Math.hypot(...data.map((value, i) => value - (compact[i] ?? Number.NaN)));
  return difference <= tolerance * Math.max(1, Math.hypot(...data));
}

/** The components of a vector in the server's text form. */
function numbersOf(text: string): readonly number[] {
  return text.slice(1, -1).split(',').map(Number);
}
