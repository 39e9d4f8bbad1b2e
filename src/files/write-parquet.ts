import { ByteWriter, ParquetWriter } from 'hyparquet-writer';
import { TldrError } from '../core/errors.js';
import { row, type Matrix } from '../core/matrix.js';
import { writeWhole } from '../core/write-file.js';

/** About so many numbers make one row group. */
const GROUP_VALUES = 2 ** 20;

/**
 * Writes blocks of rows as a Parquet file with one column, a list of float32 numbers. The file gets its name only when
 * it is complete.
 * @throws INVALID_ARGUMENT when it cannot be written, for example on a full disk
 */
export async function writeParquet(
  path: string,
  { rows, column }: { readonly rows: number; readonly column: string },
  blocks: AsyncIterable<Matrix> | Iterable<Matrix>,
): Promise<void> {
  await writeWhole(path, async (file) => {
    const bytes = new ByteWriter();
    const flush = async (): Promise<void> => {
      await file.writeFile(bytes.getBytes());
      bytes.index = 0;
    };
    const writer = new ParquetWriter({
      writer: bytes,
      codec: 'UNCOMPRESSED',
      statistics: false,
      schema: [
        { name: 'schema', num_children: 1 },
        {
          name: column,
          repetition_type: 'REQUIRED',
          num_children: 1,
          converted_type: 'LIST',
          logical_type: { type: 'LIST' },
        },
        { name: 'list', repetition_type: 'REPEATED', num_children: 1 },
        { name: 'element', repetition_type: 'REQUIRED', type: 'FLOAT' },
      ],
    });
    let group: number[][] = [];
    let written = 0;
    const writeGroup = async (): Promise<void> => {
      if (group.length === 0) return;
      const columnData = [{ name: column, data: group, encoding: 'PLAIN' as const, offsetIndex: false }];
      await writer.write({ columnData, rowGroupSize: group.length });
      written += group.length;
      group = [];
      await flush();
    };
    for await (const block of blocks) {
      for (let i = 0; i < block.rows; i++) group.push(Array.from(row(block, i)));
      if (group.length * block.cols >= GROUP_VALUES) await writeGroup();
    }
    await writeGroup();
    await writer.finish();
    await flush();
    if (written !== rows) throw new TldrError('INTERNAL', `${written} rows written, ${rows} promised`);
  });
}
