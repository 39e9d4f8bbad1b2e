import { compressors } from 'hyparquet-compressors';
import { parquetMetadataAsync, parquetSchema, type FileMetaData, type SchemaTree } from 'hyparquet';
import { DEFAULT_PARSERS } from 'hyparquet/src/convert.js';
import { getMaxDefinitionLevel, getTreePath } from 'hyparquet/src/schema.js';
import type { FileHandle } from 'node:fs/promises';
import { messageOf, TldrError } from '../core/errors.js';
import { matrix, type Matrix } from '../core/matrix.js';
import { openRegular, readFully } from '../core/read-file.js';
import { unusableParquet } from './parquet-error.js';
import { readPages, type ColumnChunkPlace, type ParquetPage } from './parquet-pages.js';
import { RowLengths } from './parquet-row-lengths.js';
import type { VectorFile } from './vector-file.js';

const MAGIC_BYTES = 4;
/** The end of a file: the length of its metadata in 4 bytes, and the magic word. */
const FOOTER_BYTES = 8;
/** Metadata of so many bytes describes hundreds of thousands of row groups. */
const METADATA_BYTES_MAX = 256 * 1024 ** 2;

interface ParquetPlace {
  readonly path: string;
  readonly file: FileHandle;
  readonly sizeBytes: number;
}

/** A column of vectors: where its parts are, and how its nesting is written. */
interface VectorColumn {
  readonly name: string;
  readonly chunks: readonly ColumnChunkPlace[];
  readonly levels: { readonly list: number; readonly value: number };
}

/**
 * Opens a Parquet file and reads the vectors of one column: a list of float, double or float16 numbers, all of the
 * same length. Reading keeps one page of one row group in memory, however large the row groups are.
 * @param column its name; it may be left out if the file has only one such column
 * @throws NOT_FOUND when the file cannot be opened, or has no such column
 * @throws INVALID_DATA when it is no Parquet file, or the column holds no vectors
 * @throws INVALID_ARGUMENT when the column has to be named
 */
export async function openParquet(path: string, column?: string): Promise<VectorFile> {
  const { file, sizeBytes } = await openRegular(path, 'a Parquet file');
  const place = { path, file, sizeBytes };
  try {
    const metadata = await readMetadata(place);
    const found = findColumn(metadata, { ...place, column });
    const rows = found.chunks.reduce((sum, chunk) => sum + chunk.rows, 0);
    const cols = await firstLength(place, found);
    const reader = new VectorReader(place, found, cols);
    return {
      rows,
      cols,
      read: (start, end) => reader.read(start, end),
      close: async () => {
        await reader.end();
        await file.close();
      },
    };
  } catch (error) {
    await file.close();
    throw error;
  }
}

async function readMetadata({ path, file, sizeBytes }: ParquetPlace): Promise<FileMetaData> {
  if (sizeBytes < MAGIC_BYTES + FOOTER_BYTES) throw unusableParquet(path, `it has ${sizeBytes} bytes only`);
  const slice = async (start: number, end = sizeBytes): Promise<ArrayBuffer> => {
    const bytes = new Uint8Array(Math.max(0, end - start));
    await readFully(file, { bytes, at: start, ended: () => unusableParquet(path, 'it ends early') });
    return bytes.buffer;
  };
  const footer = new DataView(await slice(sizeBytes - FOOTER_BYTES));
  const magic = Buffer.from(footer.buffer, 4).toString('latin1');
  if (magic === 'PARE') throw unusableParquet(path, 'it is encrypted');
  if (magic !== 'PAR1') throw unusableParquet(path, 'it does not end with PAR1');
  const length = footer.getUint32(0, true);
  if (length > METADATA_BYTES_MAX) throw unusableParquet(path, `its metadata claims ${length} bytes`);
  try {
    return await parquetMetadataAsync({ byteLength: sizeBytes, slice }, { geoparquet: false });
  } catch (cause) {
    if (cause instanceof TldrError) throw cause;
    throw unusableParquet(path, `its metadata cannot be read: ${messageOf(cause)}`);
  }
}

/** Whether a column is a list of floating-point numbers. */
function holdsVectors(column: SchemaTree): boolean {
  const path = [column];
  for (let node = column.children[0]; node !== undefined; node = node.children[0]) path.push(node);
  const leaf = path.at(-1);
  return (
    path.every(({ children }) => children.length <= 1) &&
    path.filter(({ element }) => element.repetition_type === 'REPEATED').length === 1 &&
    leaf !== undefined &&
    isFloat(leaf)
  );
}

function isFloat({ element: { type, logical_type: logical } }: SchemaTree): boolean {
  return type === 'FLOAT' || type === 'DOUBLE' || logical?.type === 'FLOAT16';
}

/** A column's type in the words of Parquet, for messages. */
function typeOf(column: SchemaTree): string {
  const [child] = column.children;
  const { element } = column;
  const own = element.logical_type?.type ?? element.converted_type ?? element.type ?? 'group';
  return child === undefined ? own : `${own} of ${typeOf(child)}`;
}

function findColumn(
  metadata: FileMetaData,
  { path, sizeBytes, column }: ParquetPlace & { readonly column: string | undefined },
): VectorColumn {
  try {
    const schema = parquetSchema(metadata);
    const chosen = chooseColumn(schema, path, column);
    const leafPath = [chosen.element.name];
    for (let node = chosen.children[0]; node !== undefined; node = node.children[0])
      leafPath.push(node.element.name);
    const schemaPath = getTreePath(schema, leafPath);
    const repeatedAt = schemaPath.findIndex(({ element }) => element.repetition_type === 'REPEATED');
    const levels = {
      list: getMaxDefinitionLevel(schemaPath.slice(0, repeatedAt + 1)),
      value: getMaxDefinitionLevel(schemaPath),
    };
    const chunks = metadata.row_groups
      .filter((group) => group.num_rows > 0n)
      .map((group) => chunkOf(group, { path, sizeBytes, schemaPath }));
    return { name: chosen.element.name, chunks, levels };
  } catch (cause) {
    if (cause instanceof TldrError) throw cause;
    throw unusableParquet(path, `its schema cannot be read: ${messageOf(cause)}`);
  }
}

function chooseColumn({ children }: SchemaTree, path: string, name: string | undefined): SchemaTree {
  const listed = (some: readonly SchemaTree[]): string =>
    some.map((one) => `${one.element.name} (${typeOf(one)})`).join(', ');
  const vectors = children.filter(holdsVectors);
  if (name !== undefined) {
    const named = children.find(({ element }) => element.name === name);
    if (named === undefined)
      throw new TldrError(
        'NOT_FOUND',
        `${path} has no column "${name}": its columns are ${listed(children)}`,
      );
    if (vectors.includes(named)) return named;
    throw unusableParquet(
      path,
      `the column "${name}" is ${typeOf(named)}, expected a list of float, double or float16 numbers`,
    );
  }
  const [only] = vectors;
  if (only === undefined)
    throw unusableParquet(
      path,
      `none of its columns is a list of float, double or float16 numbers; they are ${listed(children)}`,
    );
  if (vectors.length > 1)
    throw new TldrError(
      'INVALID_ARGUMENT',
      `${path} has ${vectors.length} columns of vectors: ${listed(vectors)}`,
      { hint: 'parquet-column' },
    );
  return only;
}

function chunkOf(
  group: FileMetaData['row_groups'][number],
  {
    path,
    sizeBytes,
    schemaPath,
  }: { readonly path: string; readonly sizeBytes: number; readonly schemaPath: SchemaTree[] },
): ColumnChunkPlace {
  const pathInSchema = schemaPath.slice(1).map(({ element }) => element.name);
  const same = (names: readonly string[] | undefined): boolean =>
    names?.join('\0') === pathInSchema.join('\0');
  const meta = group.columns.find((one) => same(one.meta_data?.path_in_schema))?.meta_data;
  const element = schemaPath.at(-1)?.element;
  if (meta === undefined || element === undefined)
    throw unusableParquet(path, `a row group lacks the column ${pathInSchema[0]}, or it is encrypted`);
  const { data_page_offset: data, dictionary_page_offset: dictionary, total_compressed_size: length } = meta;
  const start = Number(dictionary !== undefined && dictionary > 0n && dictionary < data ? dictionary : data);
  const end = start + Number(length);
  if (!(start >= MAGIC_BYTES && end >= start && end <= sizeBytes))
    throw unusableParquet(
      path,
      `the column ${pathInSchema[0]} claims the bytes ${start} to ${end} of ${sizeBytes}`,
    );
  const decoder = {
    pathInSchema,
    schemaPath,
    element,
    type: meta.type,
    codec: meta.codec,
    parsers: DEFAULT_PARSERS,
    compressors,
  };
  return { start, end, rows: Number(group.num_rows), decoder };
}

/** The length of the first vector, which all others must have. */
async function firstLength(place: ParquetPlace, column: VectorColumn): Promise<number> {
  const [chunk] = column.chunks;
  if (chunk === undefined)
    throw unusableParquet(place.path, 'it has no rows, so the length of its vectors is unknown');
  const lengths = new RowLengths(place.path, column.levels, null);
  for await (const page of readPages(place, chunk)) {
    const length = lengths.add(page);
    if (length !== null) return length;
  }
  return lengths.end();
}

/** Reads rows in ascending order. Going back begins again at the first row group. */
class VectorReader {
  readonly #place: ParquetPlace;
  readonly #column: VectorColumn;
  readonly #cols: number;
  /** The next row, and the values of it and of those after it that are decoded already. */
  #row = 0;
  #decoded: Float32Array = new Float32Array(0);
  #pages: AsyncGenerator<Float32Array> | null = null;

  constructor(place: ParquetPlace, column: VectorColumn, cols: number) {
    this.#place = place;
    this.#column = column;
    this.#cols = cols;
  }

  async read(start: number, end: number): Promise<Matrix> {
    if (this.#pages === null || start < this.#row || this.#groupEnd() <= start) await this.#seek(start);
    const x = matrix(end - start, this.#cols);
    await this.#take((start - this.#row) * this.#cols, null);
    await this.#take(x.data.length, x.data);
    this.#row = end;
    return x;
  }

  async end(): Promise<void> {
    await this.#pages?.return(undefined);
    this.#pages = null;
  }

  /** The first row behind the row group that holds the next row. */
  #groupEnd(): number {
    let end = 0;
    for (const { rows } of this.#column.chunks) {
      end += rows;
      if (end > this.#row) return end;
    }
    return end;
  }

  /** Goes to the first row of the row group that holds a row. */
  async #seek(row: number): Promise<void> {
    await this.end();
    let [first, group] = [0, 0];
    for (const { rows } of this.#column.chunks) {
      if (first + rows > row) break;
      first += rows;
      group++;
    }
    this.#row = first;
    this.#decoded = new Float32Array(0);
    this.#pages = this.#valuesFrom(group, first);
  }

  /** Moves values to `to`, or drops them. */
  async #take(count: number, to: Float32Array | null): Promise<void> {
    let taken = 0;
    while (taken < count) {
      if (this.#decoded.length === 0) {
        const next = await this.#pages?.next();
        if (next === undefined || next.done === true)
          throw unusableParquet(this.#place.path, 'it has fewer rows than it says');
        this.#decoded = next.value;
      }
      const part = this.#decoded.subarray(0, count - taken);
      to?.set(part, taken);
      taken += part.length;
      this.#decoded = this.#decoded.subarray(part.length);
    }
  }

  /** The values of the row groups from one on, page by page, each page checked before it is given. */
  async *#valuesFrom(group: number, row: number): AsyncGenerator<Float32Array> {
    let first = row;
    for (const chunk of this.#column.chunks.slice(group)) {
      const lengths = new RowLengths(this.#place.path, this.#column.levels, { cols: this.#cols, row: first });
      for await (const page of readPages(this.#place, chunk)) {
        lengths.add(page);
        yield floatsOf(page);
      }
      lengths.end();
      if (lengths.rows !== chunk.rows)
        throw unusableParquet(
          this.#place.path,
          `the row group from row ${first} on has ${lengths.rows} rows, it says ${chunk.rows}`,
        );
      first += chunk.rows;
    }
  }
}

function floatsOf({ values }: ParquetPage): Float32Array {
  return values instanceof Float32Array ? values : Float32Array.from(values);
}
