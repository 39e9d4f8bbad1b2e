import type { Rng } from '../../../src/core/rng.js';
import type { Fields, Transport } from './migrate-and-serve.js';

/** A quantisation as REST has it, or what switches one off. */
export type Codes = Fields | 'Disabled';

const CODES: readonly Codes[] = [
  'Disabled',
  { scalar: { type: 'int8' } },
  { scalar: { type: 'int8', quantile: 0.97, always_ram: true } },
  { scalar: { type: 'int8', quantile: 0.723456789, always_ram: false } },
  { product: { compression: 'x4' } },
  { product: { compression: 'x16', always_ram: true } },
  { binary: {} },
  { binary: { always_ram: true, encoding: 'two_bits', query_encoding: 'scalar4bits' } },
  { binary: { encoding: 'one_and_half_bits', query_encoding: 'default' } },
];
/** 500 and 125 are what 2,000 and 500 become for vectors of a quarter of the size. */
const LIMITS = [10, 11, 125, 500, 2_000, 10_000, 0] as const;
/** 1,250 is what 1,000 becomes beside a compact vector of a quarter of the size. */
const SIZES = [0, 1, 1_000, 1_250, 1_000_001, 9e12] as const;

/** The settings of a vector that a client changes, or those of a collection. */
interface Settings {
  readonly codes?: Codes;
  readonly fullScan?: number;
  readonly m?: number;
  readonly inlineStorage?: boolean;
}

/** A change of a collection as both transports can say it. */
export interface Change extends Settings {
  readonly indexing?: number;
  /** The most that strict mode allows all vectors to take. */
  readonly vectorSize?: number;
  readonly vectors?: Readonly<Record<string, Settings & { readonly onDisk?: boolean }>>;
  readonly label?: string;
}

function pick<T>(rng: Rng, list: readonly T[]): T {
  return list[rng.int(list.length)]!;
}

function settings(rng: Rng): Settings {
  const may = (share: number): boolean => rng.uniform() < share;
  return {
    ...(may(0.6) && { codes: pick(rng, CODES) }),
    ...(may(0.4) && { fullScan: pick(rng, LIMITS) }),
    ...(may(0.2) && { m: 4 + rng.int(20) }),
    ...(may(0.2) && { inlineStorage: may(0.5) }),
  };
}

/** @param vectors the names that clients know */
export function randomChange(rng: Rng, vectors: readonly string[]): Change {
  const changed = vectors.filter(() => rng.uniform() < 0.3);
  return {
    ...settings(rng),
    ...(rng.uniform() < 0.2 && { indexing: pick(rng, LIMITS) }),
    ...(rng.uniform() < 0.3 && { vectorSize: pick(rng, SIZES) }),
    ...(rng.uniform() < 0.2 && { label: `label ${rng.int(9)}` }),
    ...(changed.length > 0 && {
      vectors: Object.fromEntries(
        changed.map((name) => [name, { ...settings(rng), ...(rng.uniform() < 0.3 && { onDisk: true }) }]),
      ),
    }),
  };
}

export function bodyOf(change: Change, transport: Transport): Fields {
  return transport === 'REST' ? restBody(change) : grpcBody(change);
}

function defined(fields: Fields): Fields {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
}

function index(
  { m, fullScan, inlineStorage }: Settings,
  names: readonly [string, string],
): Fields | undefined {
  const fields = defined({ m, [names[0]]: fullScan, [names[1]]: inlineStorage });
  return Object.keys(fields).length === 0 ? undefined : fields;
}

function restBody(change: Change): Fields {
  const common = (part: Settings): Fields => ({
    hnsw_config: index(part, ['full_scan_threshold', 'inline_storage']),
    quantization_config: part.codes,
  });
  const { indexing, vectorSize, label, vectors } = change;
  return defined({
    ...common(change),
    optimizers_config: indexing === undefined ? undefined : { indexing_threshold: indexing },
    strict_mode_config:
      vectorSize === undefined ? undefined : { max_collection_vector_size_bytes: vectorSize },
    metadata: label === undefined ? undefined : { label },
    vectors:
      vectors &&
      Object.fromEntries(
        Object.entries(vectors).map(([name, part]) => [
          name,
          defined({ ...common(part), on_disk: part.onDisk }),
        ]),
      ),
  });
}

function grpcBody(change: Change): Fields {
  const common = (part: Settings): Fields => ({
    hnswConfig: index(part, ['fullScanThreshold', 'inlineStorage']),
    quantizationConfig: part.codes === undefined ? undefined : grpcCodes(part.codes),
  });
  const { indexing, vectorSize, label, vectors } = change;
  const map =
    vectors &&
    Object.fromEntries(
      Object.entries(vectors).map(([name, part]) => [
        name,
        defined({ ...common(part), onDisk: part.onDisk }),
      ]),
    );
  const names = Object.keys(map ?? {});
  return defined({
    ...common(change),
    optimizersConfig: indexing === undefined ? undefined : { indexingThreshold: String(indexing) },
    strictModeConfig:
      vectorSize === undefined ? undefined : { maxCollectionVectorSizeBytes: String(vectorSize) },
    metadata: label === undefined ? undefined : { label: { stringValue: label } },
    vectorsConfig:
      map && (names.length === 1 && names[0] === '' ? { params: map[''] } : { paramsMap: { map } }),
  });
}

const ENUMS: Readonly<Record<string, unknown>> = {
  int8: 'Int8',
  two_bits: 'TwoBits',
  one_and_half_bits: 'OneAndHalfBits',
  scalar4bits: { setting: 'Scalar4Bits' },
  default: { setting: 'Default' },
};

function grpcCodes(codes: Codes): Fields {
  if (codes === 'Disabled') return { disabled: {} };
  const camel = (key: string): string => key.replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase());
  return Object.fromEntries(
    Object.entries(codes).map(([kind, inner]) => [
      kind,
      Object.fromEntries(
        Object.entries(inner as Fields).map(([key, value]) => [camel(key), ENUMS[String(value)] ?? value]),
      ),
    ]),
  );
}
