import type { Encoder } from '../../../src/encoder/model.js';
import { fieldOf, listOf, NumberText, readExactJson, textOf, type ExactJson } from '../store/exact-json.js';
import { fetchOnce } from '../server/fetch-once.js';

/** A point as the server's REST interface tells it, every number as it was written. */
interface Told {
  readonly id: string;
  readonly payload: string;
  readonly vectors: Readonly<Record<string, readonly number[]>>;
}

/**
 * Compares source and target, in the two-stage layout with a default vector, with nothing but the server's REST
 * interface and arithmetic of its own. One line for every difference.
 */
export async function compareSides(
  url: string,
  {
    source,
    target,
    encoder,
  }: { readonly source: string; readonly target: string; readonly encoder: Encoder },
): Promise<string[]> {
  const [expected, found] = [await everything(url, source), await everything(url, target)];
  const lines: string[] = [];
  for (const [id, point] of expected) {
    const other = found.get(id);
    if (other === undefined) lines.push(`${id} is missing`);
    else lines.push(...differences(point, other, encoder).map((text) => `${id}: ${text}`));
  }
  for (const id of found.keys()) if (!expected.has(id)) lines.push(`${id} is left over`);
  return lines;
}

function differences(source: Told, target: Told, encoder: Encoder): string[] {
  const lines: string[] = [];
  if (source.payload !== target.payload) lines.push(`payload ${target.payload} for ${source.payload}`);
  const [full, copy, compact] = [source.vectors[''], target.vectors[''], target.vectors['compact']];
  if (full?.join() !== copy?.join()) lines.push('full vector');
  if ((full === undefined) !== (compact === undefined)) lines.push('compact vector there or not');
  if (full === undefined || compact === undefined) return lines;
  const wanted = projected(full, encoder);
  if (wanted.length !== compact.length || wanted.some((value, i) => Math.abs(value - compact[i]!) > 1e-5))
    lines.push('compact vector');
  return lines;
}

/** One linear layer between unit vectors. */
function projected(full: readonly number[], { network }: Encoder): number[] {
  const [layer] = network.layers;
  if (layer === undefined || network.layers.length !== 1) throw new Error('expected one layer');
  const { data, rows, cols } = layer.weight;
  const length = Math.hypot(...full);
  const out = Array.from({ length: cols }, (_, j) => {
    let sum = 0;
    for (let i = 0; i < rows; i++) sum += (full[i]! / length) * data[i * cols + j]!;
    return sum;
  });
  const norm = Math.hypot(...out);
  return out.map((value) => value / norm);
}

async function everything(url: string, collection: string): Promise<Map<string, Told>> {
  const told = new Map<string, Told>();
  for (let from = ''; ;) {
    const response = await fetchOnce(`${url}/collections/${collection}/points/scroll`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: `{"limit":1000,"with_payload":true,"with_vector":true${from}}`,
    });
    const result = fieldOf(readExactJson(await response.text()), 'result');
    for (const point of listOf(fieldOf(result, 'points'))) {
      const [id, payload] = [textOf(fieldOf(point, 'id')), textOf(fieldOf(point, 'payload'))];
      told.set(id, { id, payload, vectors: vectorsOf(fieldOf(point, 'vector')) });
    }
    const next = fieldOf(result, 'next_page_offset');
    if (next === null) return told;
    from = `,"offset":${textOf(next)}`;
  }
}

function vectorsOf(vector: ExactJson): Record<string, number[]> {
  const named = vector instanceof Map ? vector : new Map([['', vector]]);
  return Object.fromEntries([...named].map(([name, values]) => [name, listOf(values).map(numberOf)]));
}

function numberOf(value: ExactJson): number {
  if (!(value instanceof NumberText)) throw new Error(`not a number: ${textOf(value)}`);
  return Number(value.text);
}
