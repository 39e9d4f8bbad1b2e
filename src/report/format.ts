import { expectDefined } from '../core/errors.js';
const BYTE_UNITS = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'] as const;

/** Text for a number that was not measured. */
const UNKNOWN = 'unknown';

/** Keeps a number and its unit on one line. */
const NO_BREAK = '\u00A0';

/**
 * Escapes text for HTML content and quoted attributes. Control characters become the replacement character.
 */
export function escapeHtml(text: string): string {
  return text
    .replace(/[^\P{Cc}\n\t]/gu, '\uFFFD')
    .replace(/&/g, '&amp;')
    .replace(/</g, '&lt;')
    .replace(/>/g, '&gt;')
    .replace(/"/g, '&quot;')
    .replace(/'/g, '&#39;');
}

/** A recall or another share with three decimals: 0.973. */
export function formatShare(value: number): string {
  return Number.isFinite(value) ? value.toFixed(3) : UNKNOWN;
}

/** An interval of shares: 0.961 to 0.984. */
export function formatInterval([low, high]: readonly [number, number]): string {
  return `${formatShare(low)} to ${formatShare(high)}`;
}

/** A share as a percentage: 43 %. */
export function formatPercent(share: number, decimals = 0): string {
  if (!Number.isFinite(share)) return UNKNOWN;
  return `${(share * 100).toFixed(decimals)}${NO_BREAK}%`;
}

/** A number with commas, rounded to `digits` significant digits: 12,345 or 1.23. */
export function formatNumber(value: number, digits = 21): string {
  if (!Number.isFinite(value)) return UNKNOWN;
  return value.toLocaleString('en-US', { maximumSignificantDigits: digits });
}

/** Bytes in decimal units with three significant digits: 6.14 GB. */
export function formatBytes(bytes: number): string {
  if (!Number.isFinite(bytes)) return UNKNOWN;
  let value = bytes;
  let unit = 0;
  while (value >= 999.5 && unit < BYTE_UNITS.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${formatNumber(value, 3)}${NO_BREAK}${expectDefined(BYTE_UNITS[unit], 'the unit of bytes')}`;
}

/** As `formatBytes`, with a plain blank: for errors, which are no page. */
export function bytesText(bytes: number): string {
  return formatBytes(bytes).replace(NO_BREAK, ' ');
}

/** Milliseconds with their unit, or "not measured". */
export function formatLatency(latencyMs: number | null): string {
  return latencyMs === null || !Number.isFinite(latencyMs)
    ? 'not measured'
    : `${formatNumber(latencyMs, 3)}${NO_BREAK}ms`;
}
