/**
 * Writes into the pages the snippets that are parts of tested programs. A block of code of a page takes its text from a
 * file if `<!-- from: FILE, NAME -->` stands before it: the lines of the file between `snippet: NAME` and `end`.
 *
 * Usage: node scripts/client-snippets.mjs [--check]    (with --check, writes nothing and fails if a page is out of date)
 */
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const BLOCK = /(^<!-- from: (\S+), (\S+) -->\n\n```\w+\n)([\s\S]*?)(^```$)/gm;

/** The lines of a part of a file, without what indents all of them. */
function partOf(file, name) {
  const lines = readFileSync(file, 'utf8').split('\n');
  const isMark = (words) => (line) => line.trim().replace(/^(#|\/\/) /, '') === words;
  const start = lines.findIndex(isMark(`snippet: ${name}`));
  const length = lines.slice(start + 1).findIndex(isMark('end'));
  if (start < 0 || length < 1) throw new Error(`${file} has no part "snippet: ${name}" with an "end"`);
  const part = lines.slice(start + 1, start + 1 + length);
  const indent = Math.min(
    ...part.filter((line) => line.trim() !== '').map((line) => line.length - line.trimStart().length),
  );
  return part.map((line) => `${line.slice(indent)}\n`).join('');
}

const check = process.argv.includes('--check');
const pages = readdirSync('docs')
  .filter((name) => name.endsWith('.md'))
  .map((name) => join('docs', name));
for (const page of pages) {
  const text = readFileSync(page, 'utf8');
  const renewed = text.replace(
    BLOCK,
    (_, head, file, name, _old, fence) => `${head}${partOf(file, name)}${fence}`,
  );
  if (renewed === text) continue;
  if (!check) writeFileSync(page, renewed);
  else {
    console.error(`${page} is out of date: run node scripts/client-snippets.mjs`);
    process.exitCode = 1;
  }
}
