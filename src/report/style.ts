/** Rules by which every row of a table is a block: its name, and below it each value with the head of its column. */
function rowsAsBlocks(box: string, valueWidth: string): string {
  return `
  ${box} table, ${box} tbody { display: block; }
  ${box} thead { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
  ${box} tr { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, ${valueWidth}), 1fr)); gap: 8px 14px; padding: 12px 16px; border-top: 1px solid var(--line); }
  ${box} tbody tr:first-child { border-top: 0; }
  ${box} th, ${box} td, ${box} .number, ${box} td.number + td:not(.number) { min-width: 0; max-width: none; padding: 0; border: 0; text-align: left; white-space: normal; }
  ${box} th { grid-column: 1 / -1; font-weight: 650; overflow-wrap: break-word; }
  ${box} td { display: flex; flex-direction: column; overflow-wrap: break-word; }
  ${box} td::before { content: attr(data-head); font-size: 0.75rem; color: var(--muted); }
  ${box} td.text { grid-column: 1 / -1; }
`;
}

/** The report's only style sheet: system fonts, light and dark colours, for phones and wide screens. */
export const REPORT_STYLE = `
:root {
  color-scheme: light dark;
  --page: #f7f7f5; --surface: #ffffff; --ink: #1a1f26; --muted: #565e69; --line: #e1e3e6; --other: #a3a9b1; --shade: rgb(20 28 40 / 16%); --chosen: #d6336c;
  --accent: #1f5fbf; --accent-soft: #eaf1fb;
  --good: #1b7353; --caution: #8f5400; --bad: #b3261e;
  --c1: #1f5fbf; --c2: #c2570c; --c3: #1b7f5c; --c4: #a3367c; --c5: #7a6200; --c6: #6b4fbb; --c7: #0e7c9a; --c8: #b3261e;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #13161a; --surface: #1a1e24; --ink: #e8ebef; --muted: #a3abb6; --line: #2f353d; --other: #69717c; --shade: rgb(0 0 0 / 60%); --chosen: #ff7aa8;
    --accent: #86b6ff; --accent-soft: #1f2b3d;
    --good: #62d2a2; --caution: #f2b45f; --bad: #ff9288;
    --c1: #86b6ff; --c2: #ffa15c; --c3: #62d2a2; --c4: #f08cc8; --c5: #d9c25a; --c6: #b3a4ff; --c7: #5cc8e6; --c8: #ff8f85;
  }
}
*, *::before, *::after { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; text-size-adjust: 100%; }
body {
  margin: 0; background: var(--page); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
  overflow-wrap: break-word;
}
.page { max-width: 1136px; margin: 0 auto; padding: clamp(28px, 5vw, 64px) clamp(20px, 3.4vw, 32px) 48px; }
h1, h2, h3, h4, p, dl, dd, ol, ul, figure { margin: 0; padding: 0; }
h1 { font-size: clamp(1.05rem, 0.95rem + 0.4vw, 1.2rem); font-weight: 600; line-height: 1.35; }
h2 { font-size: 1.375rem; font-weight: 650; line-height: 1.3; letter-spacing: -0.01em; margin-bottom: 20px; }
h3 { font-size: 1rem; font-weight: 650; line-height: 1.4; }
h4 { font-size: 0.875rem; font-weight: 600; line-height: 1.4; }
section { margin-top: 64px; }
[hidden] { display: none !important; }
.muted { color: var(--muted); }
.masthead { margin-bottom: 24px; }
.masthead .muted { font-size: 0.875rem; }

.verdict {
  margin: 0; padding: clamp(22px, 3.4vw, 44px); border-radius: 12px; background: var(--surface);
  border: 1px solid var(--line);
}
.tone { display: inline-flex; align-items: center; gap: 8px; font-size: 0.875rem; font-weight: 600; }
.tone svg { flex: none; }
.tone-good { color: var(--good); } .tone-caution { color: var(--caution); } .tone-bad { color: var(--bad); }
.headline {
  font-size: clamp(1.45rem, 1.05rem + 1.7vw, 2.2rem); font-weight: 650; line-height: 1.22; letter-spacing: -0.018em;
  margin: 10px 0 0; max-width: 34ch; text-wrap: balance;
}
.words, .memory { min-width: 0; }
.lead { margin-top: 14px; font-size: 1.125rem; line-height: 1.45; max-width: 60ch; }
.memory { margin-top: 28px; padding: 20px; border-radius: 10px; background: var(--page); border: 1px solid var(--line); }
.memory h4 { margin-top: 14px; color: var(--muted); font-weight: 500; }
.memory .muted { margin-top: 14px; font-size: 0.8125rem; }
.bar { display: grid; grid-template-columns: 4em minmax(0, 1fr); align-items: center; gap: 10px; margin-top: 6px; font-size: 0.875rem; }
.bar dd { display: flex; align-items: center; gap: 8px; min-width: 0; font-variant-numeric: tabular-nums; padding-right: 5.2em; }
.bar b { flex: none; margin-right: -5.2em; white-space: nowrap; }
.fill { flex: none; height: 18px; border-radius: 4px; background: var(--other); min-width: 3px; }
.fill.after { background: var(--accent); }
@media (min-width: 900px) {
  .with-memory { display: grid; grid-template-columns: minmax(0, 1fr) minmax(300px, 380px); column-gap: 44px; align-items: start; }
  .with-memory { grid-template-rows: auto 1fr auto; }
  .with-memory .memory { margin-top: 4px; grid-column: 2; grid-row: 1 / span 2; }
  .with-memory .details { grid-column: 1; grid-row: 2; }
  .with-memory .figures { grid-column: 1 / -1; }
}
.details { list-style: none; margin-top: 18px; max-width: 72ch; }
.details li { margin-top: 8px; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 130px), 1fr)); gap: 20px clamp(16px, 3vw, 32px); margin-top: 32px; padding-top: 28px; border-top: 1px solid var(--line); }
.figures > div { min-width: 0; }
.figures dt { font-size: 0.875rem; color: var(--muted); }
.figures dd { font-size: clamp(1.375rem, 1.1rem + 1.1vw, 1.75rem); font-weight: 650; line-height: 1.25; letter-spacing: -0.015em; font-variant-numeric: tabular-nums; }
.figures dd span { display: block; font-size: 0.875rem; font-weight: 400; letter-spacing: 0; color: var(--muted); }

.charts { display: grid; grid-template-columns: minmax(0, 1fr); gap: 20px; }
.chart { padding: clamp(16px, 2.4vw, 28px); border: 1px solid var(--line); border-radius: 12px; background: var(--surface); min-width: 0; }
.legend { list-style: none; display: flex; flex-wrap: wrap; gap: 4px 18px; margin: 8px 0 14px; font-size: 0.8125rem; color: var(--muted); }
.legend li { display: flex; align-items: center; gap: 7px; min-width: 0; max-width: 100%; }
.legend li > span { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; max-width: 26ch; }
.legend svg { flex: none; }
.plot { display: block; max-width: 100%; height: auto; font-size: 12px; font-variant-numeric: tabular-nums; overflow: visible; }
.medium .plot, .wide .plot { margin: 0 auto; }
.plot text { white-space: pre; }
.medium, .wide { display: none; }
.narrow .plot { width: 100%; max-width: 400px; margin: 0 auto; }
figcaption { margin-top: 14px; font-size: 0.9375rem; max-width: 72ch; }
figcaption .muted { font-size: 0.875rem; margin-top: 4px; }
@media (min-width: 720px) {
  .charts { grid-template-columns: repeat(2, minmax(0, 1fr)); }
  .chart.spans, .chart.alone { grid-column: 1 / -1; }
  .chart.alone { display: grid; grid-template-columns: minmax(0, 340px) minmax(0, 1fr); grid-template-rows: auto auto 1fr; column-gap: 32px; }
  .chart.alone .narrow, .chart.alone .wide { grid-column: 1; grid-row: 1 / span 3; }
  .chart.alone > h3, .chart.alone > .legend, .chart.alone > figcaption { grid-column: 2; }
  .chart.three-widths .narrow { display: none; }
  .medium { display: block; }
}
@media (min-width: 1000px) {
  .chart.alone { grid-template-columns: minmax(0, 468px) minmax(0, 1fr); column-gap: 40px; }
  .wide { display: block; }
  .narrow, .medium { display: none; }
}

.views { display: grid; grid-template-columns: minmax(0, 1fr); gap: 20px; }
.views h4 { margin-bottom: 8px; }
.views .plot { width: 100%; }
@media (min-width: 620px) { .views { grid-template-columns: repeat(auto-fit, minmax(min(100%, 260px), 1fr)); } }

.steps { list-style: none; counter-reset: step; display: grid; gap: 18px; }
.steps > li { counter-increment: step; position: relative; padding-left: 44px; min-width: 0; }
.steps > li::before {
  content: counter(step); position: absolute; left: 0; top: 0; width: 28px; height: 28px; border-radius: 99px;
  background: var(--accent-soft); color: var(--accent); font-size: 0.875rem; font-weight: 650; line-height: 28px; text-align: center;
}
.ways { list-style: none; display: grid; grid-template-columns: minmax(0, 1fr); gap: 18px; }
.ways p { margin-bottom: 8px; max-width: 72ch; }
.steps p { padding-top: 2px; margin-bottom: 8px; max-width: 72ch; }

.examples { display: grid; gap: 12px; }
.note.before { margin: -8px 0 16px; }
.examples details { margin: 0; border: 1px solid var(--line); border-radius: 12px; background: var(--surface); }
.examples summary { width: auto; padding: 14px 18px; color: var(--ink); display: flex; flex-wrap: wrap; justify-content: space-between; gap: 6px 18px; align-items: baseline; }
.examples details[open] summary { margin-bottom: 0; border-bottom: 1px solid var(--line); }
.examples summary::before { content: "▸"; color: var(--muted); margin-right: -8px; }
.examples details[open] summary::before { content: "▾"; }
.examples summary::-webkit-details-marker { display: none; }
.query { font-weight: 600; flex: 1 1 18em; min-width: 0; }
.found { flex: none; font-size: 0.875rem; font-weight: 600; font-variant-numeric: tabular-nums; }
.found.all { color: var(--good); } .found.some { color: var(--caution); }
.sides { display: grid; grid-template-columns: minmax(0, 1fr); gap: 16px 36px; padding: 14px 18px 18px; }
.sides h3 { font-size: 0.875rem; font-weight: 600; color: var(--muted); margin-bottom: 6px; }
.sides ol { padding-left: 1.9em; font-size: 0.875rem; line-height: 1.5; }
.sides li { padding: 3px 0 3px 4px; }
.sides li::marker { color: var(--muted); font-variant-numeric: tabular-nums; }
.sides .one-sided { background: var(--accent-soft); border-radius: 6px; }
@media (min-width: 620px) { .sides { grid-template-columns: repeat(2, minmax(0, 1fr)); } }

.part { margin-top: 40px; }
.part:first-of-type { margin-top: 0; }
.part > h3 { font-size: 1.0625rem; margin-bottom: 12px; }

.scroll {
  overflow-x: auto; border: 1px solid var(--line); border-radius: 12px;
  background:
    linear-gradient(90deg, var(--surface) 24px, transparent 56px) local,
    linear-gradient(270deg, var(--surface) 24px, transparent 56px) local,
    linear-gradient(90deg, var(--shade), transparent 20px),
    linear-gradient(270deg, var(--shade), transparent 20px),
    var(--surface);
}
.scroll:focus-visible, summary:focus-visible, .copy:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
table { border-collapse: collapse; width: 100%; font-size: 0.875rem; line-height: 1.45; font-variant-numeric: tabular-nums; overflow-wrap: normal; }
th, td { padding: 10px; text-align: left; vertical-align: top; border-top: 1px solid var(--line); white-space: nowrap; }
thead th { border-top: 0; font-weight: 600; color: var(--muted); vertical-align: bottom; white-space: normal; }
.many tbody th { white-space: normal; min-width: 16ch; }
.star { display: inline-block; width: 1.1ch; color: var(--accent); }
tbody th { font-weight: 500; }
th:first-child { padding-left: 20px; } td:last-child, th:last-child { padding-right: 20px; }
td.number + td:not(.number), th.number + th:not(.number) { padding-left: 22px; }
.number { text-align: right; }
.text { white-space: normal; min-width: 16ch; max-width: 44ch; }
tr.picked { background: var(--accent-soft); }
tr.picked th { font-weight: 650; }
.tag { display: inline-block; margin-right: 4px; padding: 0 8px; border-radius: 99px; font-size: 0.75rem; font-weight: 600; line-height: 1.6; color: var(--accent); border: 1px solid currentColor; vertical-align: 1px; }
.table-title { margin: 36px 0 12px; }
.note { margin-top: 10px; font-size: 0.875rem; color: var(--muted); max-width: 72ch; }
details { margin-top: 12px; }
summary { cursor: pointer; font-size: 0.9375rem; color: var(--accent); width: fit-content; padding: 4px 0; }
details[open] summary { margin-bottom: 10px; }

.facts { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 300px), 1fr)); column-gap: 40px; border-top: 1px solid var(--line); }
.facts div { padding: 10px 0; border-bottom: 1px solid var(--line); font-size: 0.9375rem; }
.facts dt { color: var(--muted); font-size: 0.8125rem; }
.facts dt, .facts dd { min-width: 0; }
.facts dd { font-variant-numeric: tabular-nums; }
.commands { display: grid; grid-template-columns: minmax(0, 1fr); gap: 8px; }
.command { display: flex; align-items: flex-start; gap: 10px; padding: 10px 12px 10px 16px; border: 1px solid var(--line); border-radius: 10px; background: var(--surface); }
.command code { flex: 1; min-width: 0; padding: 2px 0 2px 3ch; text-indent: -3ch; font: 0.875rem/1.6 ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; white-space: pre-wrap; }
.code code { padding-left: 0; text-indent: 0; }
.command code span { display: inline-block; max-width: 100%; text-indent: 0; vertical-align: top; }
.copy { flex: none; min-width: 5.6em; padding: 4px 10px; border-radius: 7px; border: 1px solid var(--line); background: var(--page); color: var(--ink); font: 600 0.8125rem/1.5 inherit; font-family: inherit; cursor: pointer; }
.copy:hover { border-color: var(--accent); color: var(--accent); }
footer { margin-top: 64px; padding-top: 16px; border-top: 1px solid var(--line); font-size: 0.875rem; color: var(--muted); }
@media (max-width: 599px) {
  .command { flex-direction: column; align-items: stretch; }
  .copy { align-self: flex-end; }
}
@media (min-width: 720px) and (max-width: 1099px) {${rowsAsBlocks('.scroll.many', '100px')}}
@media (max-width: 719px) {${rowsAsBlocks('.scroll', '126px')}}
@media (min-width: 1100px) {
  .many th:has(> .star) { padding-left: calc(20px + 1.6ch); text-indent: -1.6ch; }
  .many th > span { text-indent: 0; }
}
@media print {
  .page { max-width: none; padding: 0; }
  .chart, .verdict, tr { break-inside: avoid; }
  .scroll { overflow: visible; }
  .copy { display: none; }
}
`;
