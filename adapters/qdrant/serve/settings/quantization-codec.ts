import { ProtoWriter } from '../../../../src/encoder/protobuf.js';
import { Malformed, ProtoMessage } from '../protobuf/message.js';

/** The smallest and the largest `quantile` that the server accepts. */
const QUANTILE_MIN = 0.5;
const QUANTILE_MAX = 1;
const RATIOS = ['x4', 'x8', 'x16', 'x32', 'x64'];
const BITS = ['bits1', 'bits1_5', 'bits2', 'bits4'];
const MEMORIES = ['', 'cold', 'cached', 'pinned'];
const ENCODINGS = ['one_bit', 'two_bits', 'one_and_half_bits'];
const QUERY_ENCODINGS = ['default', 'binary', 'scalar4bits', 'scalar8bits'];
/** Number of the only field of BinaryQuantizationQueryEncoding. */
const SETTING = 4;

type Value = string | number | boolean;

interface Setting {
  readonly key: string;
  readonly field: number;
  /** A nested name is a message with a name as its only field. */
  readonly as: 'flag' | 'float' | 'name' | 'nested name';
  /** Names in the order of their numbers; '' for a number without a name. */
  readonly names?: readonly string[];
  readonly isRequired?: boolean;
}

/** QuantizationConfig: the number of each kind by its name in JSON (gRPC calls `turbo` turboquant), and its settings in the order in which the server writes them. */
const KINDS: Readonly<Record<string, { readonly field: number; readonly settings: readonly Setting[] }>> = {
  scalar: {
    field: 1,
    settings: [
      { key: 'type', field: 1, as: 'name', names: ['', 'int8'], isRequired: true },
      { key: 'quantile', field: 2, as: 'float' },
      { key: 'always_ram', field: 3, as: 'flag' },
      { key: 'memory', field: 4, as: 'name', names: MEMORIES },
    ],
  },
  product: {
    field: 2,
    settings: [
      { key: 'compression', field: 1, as: 'name', names: RATIOS, isRequired: true },
      { key: 'always_ram', field: 2, as: 'flag' },
      { key: 'memory', field: 3, as: 'name', names: MEMORIES },
    ],
  },
  binary: {
    field: 3,
    settings: [
      { key: 'always_ram', field: 1, as: 'flag' },
      { key: 'memory', field: 4, as: 'name', names: MEMORIES },
      { key: 'encoding', field: 2, as: 'name', names: ENCODINGS },
      { key: 'query_encoding', field: 3, as: 'nested name', names: QUERY_ENCODINGS },
    ],
  },
  turbo: {
    field: 4,
    settings: [
      { key: 'always_ram', field: 1, as: 'flag' },
      { key: 'memory', field: 3, as: 'name', names: MEMORIES },
      { key: 'bits', field: 2, as: 'name', names: BITS },
    ],
  },
};

/** A quantisation that both transports can express. */
export interface QuantizationSettings {
  readonly kind: string;
  readonly settings: ReadonlyMap<string, Value>;
}

/**
 * Returns the quantisation in JSON text; null for an unknown form. Like the server, it ignores unknown keys.
 */
export function quantizationFromJson(text: string): QuantizationSettings | null {
  let all: Map<string, unknown>;
  try {
    all = entriesOf(JSON.parse(text));
  } catch {
    return null;
  }
  for (const [kind, { settings }] of Object.entries(KINDS)) {
    const given = all.get(kind);
    const read = typeof given === 'object' && given !== null ? readJson(entriesOf(given), settings) : null;
    if (read !== null) return { kind, settings: read };
  }
  return null;
}

/** Returns JSON text with the numbers and the order of keys that the server would write. */
export function quantizationToJson({ kind, settings }: QuantizationSettings): string {
  return JSON.stringify({ [kind]: Object.fromEntries(settings) });
}

/** Returns the quantisation in the bytes of a QuantizationConfig; null for an unknown form. */
export function quantizationFromProto(bytes: Uint8Array): QuantizationSettings | null {
  try {
    const message = new ProtoMessage(bytes);
    for (const [kind, { field, settings }] of Object.entries(KINDS)) {
      const given = message.bytes(field);
      const read = given === null ? null : readProto(new ProtoMessage(given), settings);
      if (read !== null) return { kind, settings: read };
    }
  } catch (error) {
    if (!(error instanceof Malformed)) throw error;
  }
  return null;
}

/** Returns the bytes of a QuantizationConfig. */
export function quantizationToProto({ kind, settings }: QuantizationSettings): Uint8Array {
  const { field, settings: known } = KINDS[kind] ?? { field: 0, settings: [] };
  const inner = new ProtoWriter(32);
  for (const { key, field: number, as, names = [], isRequired = false } of known) {
    const value = settings.get(key);
    // A field without presence is not written if it is 0.
    if (value === undefined || (isRequired && names.indexOf(String(value)) === 0)) continue;
    if (as === 'float') inner.float(number, Number(value));
    else if (as === 'flag') inner.varint(number, value === true ? 1 : 0);
    else if (as === 'name') inner.varint(number, names.indexOf(String(value)));
    else inner.message(number, new ProtoWriter(8).varint(SETTING, names.indexOf(String(value))));
  }
  return new ProtoWriter(64).message(field, inner).finish();
}

/** Returns whether a value is outside of the server's limits. */
export function isOutOfRange({ settings }: QuantizationSettings): boolean {
  const quantile = settings.get('quantile');
  return typeof quantile === 'number' && !(quantile >= QUANTILE_MIN && quantile <= QUANTILE_MAX);
}

function entriesOf(value: unknown): Map<string, unknown> {
  return new Map<string, unknown>(
    typeof value === 'object' && value !== null ? Object.entries(value) : undefined,
  );
}

function readJson(given: ReadonlyMap<string, unknown>, known: readonly Setting[]): Map<string, Value> | null {
  const read = new Map<string, Value>();
  for (const { key, as, names = [], isRequired = false } of known) {
    const value = given.get(key) ?? null;
    if (value === null) {
      if (isRequired) return null;
    } else if (as === 'float' && typeof value === 'number') read.set(key, shortest(value));
    else if (as === 'flag' && typeof value === 'boolean') read.set(key, value);
    else if (typeof value === 'string' && value !== '' && names.includes(value)) read.set(key, value);
    else return null;
  }
  return read;
}

function readProto(message: ProtoMessage, known: readonly Setting[]): Map<string, Value> | null {
  const read = new Map<string, Value>();
  for (const { key, field, as, names = [], isRequired = false } of known) {
    if (as === 'float') {
      const span = message.variant([field]);
      const bytes = span === null ? new Uint8Array(0) : message.value(span);
      if (bytes.length === 4)
        read.set(key, shortest(new DataView(bytes.buffer, bytes.byteOffset, 4).getFloat32(0, true)));
      continue;
    }
    const nested = as === 'nested name' ? message.bytes(field) : null;
    const holder = nested === null ? message : new ProtoMessage(nested);
    const number =
      as === 'nested name'
        ? nested && holder.varint(SETTING)
        : (message.varint(field) ?? (isRequired ? 0n : null));
    if (number === null) continue;
    const name = names[Number(number)];
    if (as === 'flag') read.set(key, number !== 0n);
    else if (name === undefined || name === '') return null;
    else read.set(key, name);
  }
  return read;
}

/** Returns the number with the fewest digits that is the same 32-bit float. */
function shortest(value: number): number {
  const float = Math.fround(value);
  for (let digits = 6; digits < 9; digits++) {
    const rounded = Number(float.toPrecision(digits));
    if (Math.fround(rounded) === float) return rounded;
  }
  return float;
}
