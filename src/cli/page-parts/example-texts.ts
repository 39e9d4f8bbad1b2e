import type { PointId } from '../../core/point-id.js';
import type { ExampleQueryResults } from '../../evaluate/example-queries.js';
import { fieldValues } from '../../evaluate/payload-strata.js';
import { textFieldOf } from '../../evaluate/text-fields.js';
import type { ExampleQueries, ExampleResult } from '../../report/input.js';
import type { ConsoleRun } from '../console/command-output.js';
import { readPayloads, type PagePlace } from './payloads.js';

/** Example queries that a page shows. */
export const EXAMPLES = 10;

/**
 * Returns example queries with their texts, from a payload field. Points without a text are shown by their id. The texts
 * go into the page only.
 * @param textField a payload field, auto (the default) or none
 */
export async function exampleTexts(
  place: PagePlace,
  examples: readonly ExampleQueryResults[],
  { textField = 'auto', run }: { readonly textField: string | undefined; readonly run: ConsoleRun },
): Promise<ExampleQueries | null> {
  if (examples.length === 0 || textField === 'none') return null;
  const ids = examples.flatMap(({ id, full, compact }) => [
    ...(id === null ? [] : [id]),
    ...full,
    ...compact,
  ]);
  const payloads = await readPayloads(place, ids, { run, what: 'texts in its example queries' });
  const field = textField === 'auto' ? textFieldOf([...payloads.values()]) : textField;
  const textOf = (id: PointId): string => {
    const texts = field === null ? [] : fieldValues(payloads.get(id) ?? 'null', field);
    const text = texts.join(', ').trim();
    return text === '' ? `point ${place.store.keys.format(id)}` : text;
  };
  const side = (own: readonly PointId[], other: readonly PointId[]): ExampleResult[] => {
    const both = new Set(other);
    return own.map((id) => ({ text: textOf(id), onBothSides: both.has(id) }));
  };
  return {
    queries: examples.map(({ query, id, full, compact }) => ({
      text: id === null ? `Query in row ${query} of the file` : textOf(id),
      full: side(full, compact),
      compact: side(compact, full),
    })),
    note: `First the queries that lose most, then others at random.${field === null ? '' : ` Texts are from payload field “${field}”.`}`,
  };
}
