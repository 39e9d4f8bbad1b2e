import { matrixFromRows } from '../../../src/core/matrix.js';
import type { VectorProjector } from '../../../src/store/served.js';
import { fieldOf, listOf, readExactJson, textOf, type ExactJson } from '../store/exact-json.js';
import { fetchOnce } from '../server/fetch-once.js';

type Vectors = Readonly<Record<string, unknown>>;

interface Point {
  readonly payload: string;
  readonly vectors: Vectors;
}

interface Target {
  readonly collection: string;
  readonly url: string;
  /** The reduced vector as clients know it, and where the compact ones are. */
  readonly vector: string;
  readonly compact: string;
  readonly projector: VectorProjector;
}

/**
 * Compares what a collection and its target hold, over REST and with nothing of the product but the projection: one
 * line for every difference.
 */
export async function contentDifferences(
  original: { readonly url: string; readonly collection: string },
  target: Target,
): Promise<string[]> {
  const [wanted, found] = [await pointsOf(original), await pointsOf(target)];
  const lines = [...found.keys()].filter((id) => !wanted.has(id)).map((id) => `${id} is left over`);
  for (const [id, point] of wanted) {
    const other = found.get(id);
    if (other === undefined) lines.push(`${id} is missing`);
    else lines.push(...pointDifferences(point, other, target).map((line) => `${id}: ${line}`));
  }
  return lines;
}

function pointDifferences(wanted: Point, found: Point, target: Target): string[] {
  const lines = wanted.payload === found.payload ? [] : [`payload ${found.payload} for ${wanted.payload}`];
  const full = wanted.vectors[target.vector];
  const expected: Record<string, unknown> = { ...wanted.vectors };
  if (full !== undefined) expected[target.compact] = projected(full as number[], target.projector);
  for (const name of new Set([...Object.keys(expected), ...Object.keys(found.vectors)])) {
    const [a, b] = [JSON.stringify(expected[name]), JSON.stringify(found.vectors[name])];
    const same = name === target.compact ? areClose(expected[name], found.vectors[name]) : a === b;
    if (!same) lines.push(`vector "${name}" ${b} for ${a}`);
  }
  return lines;
}

/** At unit length, as cosine vectors are stored. */
function projected(full: readonly number[], projector: VectorProjector): number[] {
  const values = [...projector.project(matrixFromRows([full])).data];
  const norm = Math.hypot(...values) || 1;
  return values.map((value) => value / norm);
}

function areClose(a: unknown, b: unknown): boolean {
  return (
    a === b ||
    (Array.isArray(a) &&
      Array.isArray(b) &&
      a.length === b.length &&
      a.every((value, i) => Math.abs(Number(value) - Number(b[i])) < 1e-5))
  );
}

async function pointsOf({
  url,
  collection,
}: {
  url: string;
  collection: string;
}): Promise<Map<string, Point>> {
  const path = `${url}/collections/${collection}/points`;
  const ask = async (below: string, body: string): Promise<string> => {
    const headers = { 'content-type': 'application/json' };
    return (await fetchOnce(path + below, { method: 'POST', headers, body })).text();
  };
  // Applied after all that came before, though nothing is deleted.
  await ask('/delete?wait=true', '{"points":[424242]}');
  const text = await ask('/scroll', '{"limit":1000,"with_payload":true,"with_vector":true}');
  return new Map(
    listOf(fieldOf(fieldOf(readExactJson(text), 'result'), 'points')).map((point) => [
      textOf(fieldOf(point, 'id')),
      { payload: textOf(fieldOf(point, 'payload')), vectors: byName(fieldOf(point, 'vector')) },
    ]),
  );
}

function byName(vector: ExactJson): Vectors {
  const plain = JSON.parse(textOf(vector)) as number[] | Record<string, unknown>;
  return Array.isArray(plain) ? { '': plain } : plain;
}
