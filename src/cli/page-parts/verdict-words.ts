import { formatBytes, formatNumber, formatPercent } from '../../report/format.js';
import type { MemoryBars } from '../../report/input.js';

/** Bytes before and after. */
export interface BeforeAndAfter {
  readonly before: number;
  readonly after: number;
}

/** Ratios below this one are said as a percentage, and those nearer to 1 than the second as no change. */
const TIMES_MIN = 1.95;
const SAME_WITHIN = 1.03;
const MILLION = 1e6;
const ALMOST_ALL = 0.999;

/**
 * Returns the result in one sentence: how much of full search is found, and what it saves.
 * @param bytes of what `of` names; null if they are not known
 */
export function searchHeadline(share: number, bytes: BeforeAndAfter | null, of = 'RAM'): string {
  const found = `Search finds ${shareWords(share)}`;
  return bytes === null ? found : `${found} with ${savingWords(bytes, of)}`;
}

/** A share that is not all of it is not rounded up to all of it. */
function shareWords(share: number): string {
  if (share === 1) return 'the same results';
  const part = share > ALMOST_ALL ? `more than ${formatPercent(ALMOST_ALL, 1)}` : formatPercent(share, 1);
  return `${part} of the same results`;
}

function savingWords({ before, after }: BeforeAndAfter, of: string): string {
  if (before <= 0 || after <= 0) return `${formatBytes(after)} of ${of}`;
  const [ratio, word] = after <= before ? [before / after, 'less'] : [after / before, 'more'];
  if (ratio < SAME_WITHIN) return `as much ${of}`;
  if (ratio >= TIMES_MIN)
    return `${formatNumber(ratio < 10 ? Number(ratio.toFixed(1)) : Math.round(ratio))} times ${word} ${of}`;
  return `${formatPercent(Math.abs(1 - after / before))} ${word} ${of}`;
}

/** A number of points at least twice as large as the collection: 5 million, 50 million and so on. */
function largerCollection(points: number): number {
  let larger = 5 * MILLION;
  while (larger < 2 * points) larger *= 10;
  return larger;
}

/** Returns bytes before and after as bars, for the collection and, in proportion, for a larger one. */
export function memoryBars(
  { before, after }: BeforeAndAfter,
  {
    points,
    title = 'RAM',
    note,
  }: { readonly points: number; readonly title?: string; readonly note: string },
): MemoryBars {
  const pairs = [{ name: `Here, ${formatNumber(points)} points`, before, after }];
  const larger = largerCollection(points);
  if (points > 0)
    pairs.push({
      name: `At ${formatNumber(larger / MILLION)} million points`,
      before: (before / points) * larger,
      after: (after / points) * larger,
    });
  return {
    title,
    pairs,
    note: points > 0 ? `${note} The larger size is in proportion to the points.` : note,
  };
}

/** Returns the bars' bytes as a sentence. */
export function savingSentence({ title, pairs: [here, larger] }: MemoryBars): string {
  if (here === undefined) return '';
  const words = ({ before, after }: BeforeAndAfter): string =>
    `${formatBytes(before)} to ${formatBytes(after)}`;
  const there =
    larger === undefined ? '' : `; ${larger.name.replace('At', 'at')} from about ${words(larger)}`;
  return `${title} goes from ${words(here)} here${there}.`;
}
