import { escapeHtml, formatBytes } from './format.js';
import type { MemoryBars } from './input.js';

/** The narrowest bar that can be seen, in percent of the widest. */
const PERCENT_MIN = 0.8;

/** Bars of bytes before and after, as plain HTML: the texts say all that the bars show. */
export function renderMemoryBars({ title, pairs, note }: MemoryBars): string {
  const groups = pairs.map(({ name, before, after }) => {
    const widest = Math.max(before, after, 1);
    const rows = [
      ['Before', before, 'before'],
      ['After', after, 'after'],
    ] as const;
    const bars = rows.map(([word, bytes, kind]) => {
      const percent = Math.max(PERCENT_MIN, (100 * bytes) / widest).toFixed(1);
      return `<div class="bar"><dt>${word}</dt><dd><span class="fill ${kind}" style="width: ${percent}%" aria-hidden="true"></span><b>${escapeHtml(formatBytes(bytes))}</b></dd></div>`;
    });
    return `<h4>${escapeHtml(name)}</h4>\n<dl>${bars.join('\n')}</dl>`;
  });
  return `<aside class="memory" aria-label="${escapeHtml(title)} before and after">
<h3>${escapeHtml(title)}</h3>
${groups.join('\n')}
<p class="muted">${escapeHtml(note)}</p>
</aside>`;
}
