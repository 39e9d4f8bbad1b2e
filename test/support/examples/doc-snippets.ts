import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const ROOT = process.cwd();

/** Keys of the comment before a snippet: `not run, WORDS` leaves the lines out that begin with these words. */
const NOTE = /^(given|declare|from|not run|not run, [^:]+): +(\S.*)$/;

/** A fenced block of a page, with what the comment before it says to the tests. */
export interface PageSnippet {
  /** Where it stands, for people. */
  readonly name: string;
  /** The word after the fence; empty for text that is only shown. */
  readonly language: string;
  readonly code: string;
  /** What must be there before it runs, by `given: docs, enc.onnx`. */
  readonly given: readonly string[];
  /** TypeScript that declares what the snippet only mentions, by `declare: ...`. */
  readonly declared: string;
  /** The file and the part of it that this is, by `from: FILE, NAME`: a test runs the file. Null if it is no such part. */
  readonly from: string | null;
  /** Why it cannot run, by `not run: ...`; null if it runs. */
  readonly notRun: string | null;
  /** Lines that cannot run, by their first words, each with its reason. */
  readonly linesNotRun: ReadonlyMap<string, string>;
}

/** The pages for users. */
export function pages(): string[] {
  const docs = readdirSync(join(ROOT, 'docs'), { recursive: true, encoding: 'utf8' });
  return ['README.md', ...docs.filter((name) => name.endsWith('.md')).map((name) => join('docs', name))];
}

/** Notes by key. @throws on a line that is no note */
function parseNotes(comment: string, where: string): Map<string, string> {
  const lines = comment.split('\n').filter((line) => line.trim() !== '');
  return new Map(
    lines.map((line) => {
      const [, key, value] = NOTE.exec(line.trim()) ?? [];
      if (key === undefined || value === undefined)
        throw new Error(
          `${where}: "${line.trim()}" is no note, expected given:, declare:, from:, not run: or not run, WORDS:`,
        );
      return [key, value] as const;
    }),
  );
}

/** The fenced blocks of a page's text. @throws on a comment before a fence that is not made of notes */
export function pageSnippets(text: string, page: string): PageSnippet[] {
  const found = text.matchAll(/(?:^<!--((?:(?!-->)[\s\S])*)-->\n\n?)?^```(.*)\n([\s\S]*?)\n^```$/gm);
  return [...found].map((match): PageSnippet => {
    const [, comment = '', language = '', code = ''] = match;
    const name = `${page}:${text.slice(0, match.index + match[0].indexOf('```')).split('\n').length}`;
    const notes = parseNotes(comment, name);
    const lines = [...notes].filter(([key]) => key.startsWith('not run, '));
    return {
      name,
      language,
      code,
      given: notes.get('given')?.split(', ') ?? [],
      declared: notes.get('declare') ?? '',
      from: notes.get('from') ?? null,
      notRun: notes.get('not run') ?? null,
      linesNotRun: new Map(lines.map(([key, reason]) => [key.slice('not run, '.length), reason])),
    };
  });
}

/** The fenced blocks of all pages. */
export function allSnippets(): PageSnippet[] {
  return pages().flatMap((page) => pageSnippets(readFileSync(join(ROOT, page), 'utf8'), page));
}
