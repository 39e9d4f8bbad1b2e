import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { rowRange } from '../../../src/core/matrix.js';
import { readNpy } from '../../../src/files/npy.js';
import { openCliPlace, type CliPlace } from '../cli/cli-on-test-server.js';
import { contentOf } from '../migrate/fixtures.js';
import { firstColumns } from '../train/first-columns.js';

/** So few that a single size is measured. */
const DIM = 32;

/** Points of `docs`. */
export const DOCS_POINTS = 500;
/** Keeps a run small. */
export const SMALL = ['--budget', '1s', '--deterministic', '--sample', '400'] as const;

/** Opens a server with the collection `docs` of real embeddings, which the alias `search` leads to. */
export async function openShrinkPlace(name: string): Promise<CliPlace> {
  const place = await openCliPlace(name);
  const { store } = place;
  const base = rowRange(firstColumns(await readNpy('demo/data/base.npy'), DIM), 0, DOCS_POINTS);
  const texts = (await readFile('demo/data/base.txt', 'utf8')).split('\n');
  const native = JSON.stringify({ params: { vectors: { size: DIM, distance: 'Cosine' } } });
  const spec = { name: 'docs', vectors: [], otherVectors: [], partitions: [], metadata: {}, native };
  await store.create(spec);
  const ids = Array.from({ length: DOCS_POINTS }, (_, i) => BigInt(i));
  await store.upsert('docs', {
    ids,
    vectors: [{ name: '', matrix: base, has: new Uint8Array(DOCS_POINTS).fill(1) }],
    extra: ids.map((_, i) => store.codec.pack(JSON.stringify({ text: texts[i] }))),
  });
  await store.finishBulkLoad(spec);
  await place.rest('POST', '/collections/aliases', {
    actions: [{ create_alias: { collection_name: 'docs', alias_name: 'search' } }],
  });
  return place;
}

/** Everything that a run could have written: files with their content, collections, aliases, and the points of `docs`. */
export async function everythingOf({ store, cwd, text }: CliPlace): Promise<Record<string, unknown>> {
  const files = new Map<string, string>();
  for (const entry of await readdir(cwd, { recursive: true, withFileTypes: true }))
    if (entry.isFile()) {
      const path = join(entry.parentPath, entry.name);
      files.set(path, (await readFile(path)).toString('base64'));
    }
  const collections: Record<string, string> = {};
  for (const name of await store.listCollections())
    collections[name] = (await text(`/collections/${name}`)).replace(/"time":[^,}]*/, '');
  const { result } = JSON.parse(await text('/aliases')) as { result: unknown };
  return { files: [...files].sort(), collections, aliases: result, docs: await contentOf(store, 'docs') };
}

/** The object that `shrink --json` prints, as far as tests look at it. */
export interface ShrinkJson {
  readonly target: string;
  readonly choice: string;
  readonly today: { readonly ramBytes: number };
  readonly row: { readonly dim: number; readonly oversampling: number };
  readonly proposals: readonly {
    readonly name: string;
    readonly reached: boolean;
    readonly seconds: number;
    readonly figures: { readonly ramBytes: number; readonly diskBytes: number; readonly recallAt10: number };
  }[];
  readonly encoder: { readonly file: string; readonly fingerprint: string };
  readonly migration: { readonly phase: string; readonly verified: number };
  readonly evaluation: { readonly forms: readonly { readonly name: string }[] };
  readonly clients: readonly { readonly title: string; readonly lines: readonly string[] }[];
  readonly switched: string | null;
  readonly cutOver: { readonly form: string; readonly name: string } | null;
  readonly commands: readonly string[];
}
