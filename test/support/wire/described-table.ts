import { expect } from '@jest/globals';
import { readFileSync, writeFileSync } from 'node:fs';

const FOLDER = 'test/adapters/qdrant/serve/described';

/** What the proxy does with a part of a request or an answer that concerns a served collection. */
const VERDICTS = ['pass', 'rewrite', 'refuse'] as const;
type Verdict = (typeof VERDICTS)[number];

/** Reads a table: `Type | verdict | part part ... | words` on each line. Only parts that pass need no words. */
export function readTable(file: string): ReadonlyMap<string, Verdict> {
  const table = new Map<string, Verdict>();
  for (const line of linesOf(file)) {
    const [type = '', verdict = '', parts = '', words = ''] = line.split(' | ');
    const known = VERDICTS.find((one) => one === verdict);
    if (known === undefined || parts === '' || (known !== 'pass' && words === ''))
      throw new Error(`${file}: not an entry: ${line}`);
    for (const part of parts.split(' ')) {
      const name = `${type}.${part}`;
      if (table.has(name)) throw new Error(`${file}: ${name} has two entries`);
      table.set(name, known);
    }
  }
  return table;
}

/** Compares lines with a stored file. With STORE_ANSWERS=1 it writes them instead, to be read and committed. */
export function expectStored(file: string, lines: readonly string[]): void {
  if (process.env['STORE_ANSWERS'] === '1') writeFileSync(`${FOLDER}/${file}`, `${lines.join('\n')}\n`);
  expect(lines).toEqual(linesOf(file));
}

function linesOf(file: string): readonly string[] {
  return readFileSync(`${FOLDER}/${file}`, 'utf8').trimEnd().split('\n');
}
