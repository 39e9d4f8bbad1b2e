/** Fields that differ from one answer, or one copy of a point, to the next. */
const TIMELY: readonly string[] = ['time', 'usage', 'version'];
/** Rounding differs between copies by less. */
const TOLERANCE = 2e-5;

/**
 * `none`: no score is shared by points inside and outside the answer. `last`: the limit may cut points of one
 * score. `both`: an offset may do so as well.
 */
export type Ties = 'none' | 'last' | 'both';

type Fields = Readonly<Record<string, unknown>>;

/**
 * Where two answers to one search differ; null if they say the same. Points of one score may come in any order.
 * @param ties which points of one score the server may have chosen among
 */
export function difference(expected: unknown, actual: unknown, ties: Ties, at = 'answer'): string | null {
  if (typeof expected === 'number' && typeof actual === 'number')
    return isClose(expected, actual) ? null : `${at}: ${actual} in place of ${expected}`;
  if (Array.isArray(expected) && Array.isArray(actual)) return ofLists(expected, actual, ties, at);
  if (isFields(expected) && isFields(actual)) {
    const names = new Set([...Object.keys(expected), ...Object.keys(actual)]);
    for (const name of names) {
      if (TIMELY.includes(name)) continue;
      const found = difference(expected[name], actual[name], ties, `${at}.${name}`);
      if (found !== null) return found;
    }
    return null;
  }
  return expected === actual ? null : `${at}: ${brief(actual)} in place of ${brief(expected)}`;
}

function ofLists(
  expected: readonly unknown[],
  actual: readonly unknown[],
  ties: Ties,
  at: string,
): string | null {
  if (expected.length !== actual.length)
    return `${at}: ${actual.length} in place of ${expected.length}: ${brief(actual)} in place of ${brief(expected)}`;
  if (expected.every(isHit) && actual.every(isHit)) return ofHits(expected, actual, ties, at);
  for (const [i, one] of expected.entries()) {
    const found = difference(one, actual[i], ties, `${at}[${i}]`);
    if (found !== null) return found;
  }
  return null;
}

/** A point that a search returned. Over gRPC a score of zero is not written. */
function isHit(value: unknown): value is Fields {
  return isFields(value) && 'id' in value && ('score' in value || 'version' in value);
}

function ofHits(
  expected: readonly Fields[],
  actual: readonly Fields[],
  ties: Ties,
  at: string,
): string | null {
  for (let from = 0; from < expected.length;) {
    const score = scoreOf(expected[from]!);
    let to = from + 1;
    while (to < expected.length && isClose(score, scoreOf(expected[to]!))) to++;
    const isCut =
      (ties !== 'none' && to === expected.length && to - from > 1) || (ties === 'both' && from === 0);
    const [wanted, found] = [expected, actual].map((hits) => byId(hits.slice(from, to)));
    for (const [i, hit] of wanted!.entries()) {
      const other = found![i]!;
      const different = isCut
        ? difference(scoreOf(hit), scoreOf(other), ties, `${at}[${from + i}].score`)
        : difference({ score: 0, ...hit }, { score: 0, ...other }, ties, `${at}[${from + i}]`);
      if (different !== null)
        return `${different}: ${brief(actual.map(idAndScore))} in place of ${brief(expected.map(idAndScore))}`;
    }
    from = to;
  }
  return null;
}

function byId(hits: readonly Fields[]): Fields[] {
  const key = (hit: Fields): string => JSON.stringify(hit['id']);
  return [...hits].sort((a, b) => (key(a) < key(b) ? -1 : 1));
}

function idAndScore(hit: Fields): unknown {
  return [hit['id'], scoreOf(hit)];
}

function scoreOf(hit: Fields): number {
  const score = hit['score'] ?? 0;
  return typeof score === 'number' ? score : Number.NaN;
}

function isClose(a: number, b: number): boolean {
  return a === b || Math.abs(a - b) <= TOLERANCE * Math.max(1, Math.abs(a), Math.abs(b));
}

function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function brief(value: unknown): string {
  const text = JSON.stringify(value) as string | undefined;
  return (text ?? 'nothing').slice(0, 600);
}
