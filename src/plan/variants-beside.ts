import type { DenseVectorSpec, StorageKind } from '../store/collection.js';
import type { CompactBeside } from '../store/beside/scratch-store.js';
import type { KeptVector } from '../store/storage.js';
import { withGraphSizes } from './graph-variants.js';
import { compactVariants, fullVariants, type Variant } from './variants.js';

/** What is measured in a store that keeps compact vectors beside full ones. */
interface Besides {
  readonly vector: DenseVectorSpec;
  readonly current: KeptVector;
  readonly dims: readonly number[];
  /** Kinds of storage that the store has. */
  readonly kinds: readonly StorageKind[];
  /** Numbers of links for graphs of compact vectors; if absent: the table's own, and 8. */
  readonly asked: readonly number[] | undefined;
}

/** Links of each point that are tried beside the table's own number. Chosen. */
const FEWER_LINKS = 8;

/**
 * Returns the variants for a store in which every variant is an index: on the full vectors in another form, on their
 * first dimensions, or on compact vectors, for which a shorter datatype is measured alone where there is one.
 */
export function variantsBeside(
  { vector, current, dims, kinds, asked }: Besides,
  { refusal }: CompactBeside,
): { readonly variants: Variant[]; readonly notes: readonly string[] } {
  const datatypes = kinds.filter((kind) => kind === 'float32' || kind === 'float16');
  const [kind = 'float32'] = datatypes.includes('float16') ? ['float16' as const] : datatypes;
  const ofCompact = { distance: vector.distance, hnswM: current.hnswM };
  const compact = dims.flatMap((dim) => compactVariants(dim, ofCompact, [kind]));
  const variants = [
    ...fullVariants(vector, current, kinds),
    ...dims.map((dim) => prefixVariant(dim, { vector, current, kind })),
    ...withGraphSizes(compact, {
      own: current.hnswM,
      asked: asked ?? [...new Set([current.hnswM, FEWER_LINKS])],
    }),
  ];
  const notes: string[] = [];
  const able = variants.filter(({ scratch }) => {
    const why = refusal(scratch);
    if (why !== null) notes.push(`not measured: ${why}`);
    return why === null;
  });
  return { variants: able, notes };
}

/** The full vectors, searched by their first dimensions, and rescored by all. */
function prefixVariant(
  dim: number,
  { vector, current, kind }: Pick<Besides, 'vector' | 'current'> & { readonly kind: 'float32' | 'float16' },
): Variant {
  return {
    scratch: {
      name: `prefix-${dim}`,
      dim: vector.dim,
      distance: vector.distance,
      storage: { datatype: kind, quantization: 'none', onDisk: true, indexed: true },
      prefix: dim,
    },
    kind: 'full',
    datatype: kind,
    componentBytes: kind === 'float16' ? 2 : 4,
    quantized: true,
    hnswM: current.hnswM,
  };
}
