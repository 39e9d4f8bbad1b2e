import { parquetHeader, readPage } from 'hyparquet/src/column.js';
import { convert, convertWithDictionary } from 'hyparquet/src/convert.js';
import { decompressPage, readDataPage, readDataPageV2 } from 'hyparquet/src/datapage.js';
import type { DecodedArray, PageHeader } from 'hyparquet';
import type { FileHandle } from 'node:fs/promises';
import { messageOf, TldrError } from '../core/errors.js';
import { readFully } from '../core/read-file.js';
import { unusableParquet } from './parquet-error.js';

/** What decodes a column: its type, nesting and compression. */
export type ColumnDecoder = Parameters<typeof readDataPageV2>[2];

/** The part of a column that one row group holds. */
export interface ColumnChunkPlace {
  /** First byte, and the first byte behind it. */
  readonly start: number;
  readonly end: number;
  readonly rows: number;
  readonly decoder: ColumnDecoder;
}

/** A decoded page: the numbers of some rows, and how they divide into rows. */
export interface ParquetPage {
  readonly values: ArrayLike<number>;
  readonly repetitionLevels: readonly number[];
  /** Empty if no value is null. */
  readonly definitionLevels: readonly number[];
}

/** Headers are short, except those with long statistics. */
const HEADER_BYTES = [1024, 64 * 1024, 16 * 1024 ** 2] as const;
/** Writers make pages of about a megabyte. */
const PAGE_BYTES_MAX = 2 ** 30;
const PAGE_VALUES_MAX = 2 ** 26;

/**
 * Reads the pages of a column in one row group, one after the other.
 * @throws INVALID_DATA when they cannot be decoded
 */
export async function* readPages(
  { path, file }: { readonly path: string; readonly file: FileHandle },
  { start, end, decoder }: ColumnChunkPlace,
): AsyncGenerator<ParquetPage> {
  const place = { path, file, end };
  let dictionary: DecodedArray | undefined;
  try {
    for (let at = start; at < end;) {
      const { header, bytes: headerBytes } = await readHeader(place, at);
      const { compressed_page_size: length } = header;
      checkSizes(place, header, end - at - headerBytes);
      const bytes = await bytesAt(place, at + headerBytes, length);
      at += headerBytes + length;
      if (header.type === 'DICTIONARY_PAGE') dictionary = dictionaryOf(bytes, header, decoder);
      else if (header.type !== 'INDEX_PAGE') yield decodePage(bytes, header, { decoder, dictionary });
    }
  } catch (cause) {
    if (cause instanceof TldrError) throw cause;
    throw unusableParquet(
      path,
      `the column "${decoder.pathInSchema[0]}" cannot be decoded: ${messageOf(cause)}`,
    );
  }
}

interface ChunkPlace {
  readonly path: string;
  readonly file: FileHandle;
  readonly end: number;
}

async function bytesAt({ path, file }: ChunkPlace, at: number, length: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(length);
  await readFully(file, { bytes, at, ended: () => unusableParquet(path, 'it ends early') });
  return bytes;
}

async function readHeader(place: ChunkPlace, at: number): Promise<{ header: PageHeader; bytes: number }> {
  for (const most of HEADER_BYTES) {
    const bytes = await bytesAt(place, at, Math.min(most, place.end - at));
    const reader = { view: new DataView(bytes.buffer), offset: 0 };
    try {
      const header = parquetHeader(reader);
      if (reader.offset <= bytes.length) return { header, bytes: reader.offset };
    } catch (cause) {
      // Outside the view: the header is longer.
      if (!(cause instanceof RangeError) || bytes.length < most) throw cause;
    }
  }
  throw unusableParquet(place.path, `the header of a page at byte ${at} is too long`);
}

function checkSizes({ path }: ChunkPlace, header: PageHeader, left: number): void {
  const { compressed_page_size: packed, uncompressed_page_size: plain } = header;
  const values = (header.data_page_header ?? header.data_page_header_v2 ?? header.dictionary_page_header)
    ?.num_values;
  const fits = (size: number, most: number): boolean => Number.isInteger(size) && size >= 0 && size <= most;
  if (!fits(packed, left)) throw unusableParquet(path, `a page claims ${packed} bytes, ${left} are left`);
  if (!fits(plain, PAGE_BYTES_MAX))
    throw unusableParquet(path, `a page claims ${plain} bytes, expected at most ${PAGE_BYTES_MAX}`);
  if (values !== undefined && !fits(values, PAGE_VALUES_MAX))
    throw unusableParquet(path, `a page claims ${values} values, expected at most ${PAGE_VALUES_MAX}`);
}

function dictionaryOf(
  bytes: Uint8Array,
  header: PageHeader,
  decoder: ColumnDecoder,
): DecodedArray | undefined {
  const reader = { view: new DataView(bytes.buffer), offset: 0 };
  const { data } = readPage(reader, header, decoder, undefined, undefined, 0);
  return data === undefined ? undefined : convert(data, decoder);
}

function decodePage(
  bytes: Uint8Array,
  header: PageHeader,
  { decoder, dictionary }: { readonly decoder: ColumnDecoder; readonly dictionary: DecodedArray | undefined },
): ParquetPage {
  const { data_page_header: one, data_page_header_v2: two } = header;
  const encoding = (one ?? two)?.encoding;
  if (encoding === undefined) throw new Error(`a page of type ${header.type} has no header of data`);
  const plain = (): Uint8Array =>
    decompressPage(bytes, header.uncompressed_page_size, decoder.codec, decoder.compressors);
  const page =
    one === undefined ? readDataPageV2(bytes, header, decoder) : readDataPage(plain(), one, decoder);
  return {
    values: numbersOf(convertWithDictionary(page.dataPage, dictionary, encoding, decoder)),
    repetitionLevels: page.repetitionLevels,
    definitionLevels: page.definitionLevels ?? [],
  };
}

/** @throws when a value is no number, such as a code without a dictionary */
function numbersOf(values: DecodedArray): ArrayLike<number> {
  if (values instanceof Float32Array || values instanceof Float64Array) return values;
  return Float32Array.from(values, (value: unknown) => {
    if (typeof value !== 'number') throw new Error(`a value is ${typeof value}, expected a number`);
    return value;
  });
}
