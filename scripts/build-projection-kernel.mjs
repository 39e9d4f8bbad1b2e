/**
 * Writes src/encoder/projection-kernel-wasm.ts: the projection kernel, generated as WebAssembly text and assembled by wabt.
 * Run by `npm run build:projection-kernel` (`--print` writes to standard output instead); a test checks that the committed
 * file is what this one produces.
 *
 * y[rows x out] = x[rows x in] W + b, optionally max(0, y). W comes in panels of 8 columns (each panel in x 8),
 * out is a multiple of 8. Four rows share each load of W; the last rows go one by one, three panels at a time. However
 * many are taken in a turn, each sum is made in the order of x. What a turn holds is to fit the 16 registers that V8
 * has for vectors, also where it loads all of it first: with four panels of one row, or with two values of x, it does
 * not, and sums go through memory in every turn.
 */
import { writeWasmFile } from './wasm-file.mjs';

const LANES = [0, 1];
const PANEL_BYTES = 32;
const ROWS_MAX = 4;
/** What one row takes of them at a time, then of those that are left. */
const PANELS_OF_ONE_ROW = [3, 2, 1];

/** Multiply-accumulate over all of `in` for `rows` rows and `panels` panels, from $xp, $wp, $bp to $yp. */
function block(rows, panels, label) {
  const cells = [];
  for (let r = 0; r < rows; r++)
    for (let p = 0; p < panels; p++) for (const l of LANES) cells.push({ r, p, l });
  const acc = ({ r, p, l }) => `$acc${(r * panels + p) * 2 + l}`;
  const rowAddress = (base, r, stride) =>
    r === 0 ? base : `(i32.add ${base} (i32.mul (i32.const ${r}) ${stride}))`;
  const init = cells.map(
    (c) => `(local.set ${acc(c)} (v128.load offset=${c.p * PANEL_BYTES + c.l * 16} (local.get $bp)))`,
  );
  const load = ({ p, l }) => `(v128.load offset=${l * 16} (local.get $wk${p}))`;
  const shared = rows > 1 ? cells.filter(({ r }) => r === 0) : [];
  const weight = (c) => (rows > 1 ? `(local.get $w${c.p * 2 + c.l})` : load(c));
  const rowNumbers = Array.from({ length: rows }, (_, r) => r);
  const panelNumbers = Array.from({ length: panels }, (_, p) => p);
  /** The sums of one value of each row. */
  const turn = [
    ...shared.map((c) => `(local.set $w${c.p * 2 + c.l} ${load(c)})`),
    ...rowNumbers.flatMap((r) => [
      `(local.set $s (v128.load32_splat (local.get $xk${r})))`,
      ...cells
        .filter((c) => c.r === r)
        .map(
          (c) =>
            `(local.set ${acc(c)} (f32x4.add (local.get ${acc(c)}) (f32x4.mul (local.get $s) ${weight(c)})))`,
        ),
    ]),
  ];
  const move = (name, bytes) => `(local.set $${name} (i32.add (local.get $${name}) (i32.const ${bytes})))`;
  const store = cells.map((c) => {
    const value = `(select (f32x4.pmax (v128.const f32x4 0 0 0 0) (local.get ${acc(c)})) (local.get ${acc(c)}) (local.get $relu))`;
    const y = rowAddress('(local.get $yp)', c.r, '(local.get $yBytes)');
    return `(v128.store offset=${c.p * PANEL_BYTES + c.l * 16} ${y} ${value.replace('(select', '(select (result v128)')})`;
  });
  return `
    ${init.join('\n    ')}
    ${rowNumbers.map((r) => `(local.set $xk${r} ${rowAddress('(local.get $xp)', r, '(local.get $xBytes)')})`).join(' ')}
    ${panelNumbers.map((p) => `(local.set $wk${p} ${rowAddress('(local.get $wp)', p, '(local.get $panelBytes)')})`).join(' ')}
    (local.set $end (i32.add (local.get $xp) (local.get $xBytes)))
    (loop $${label}
      ${turn.join('\n      ')}
      ${rowNumbers.map((r) => move(`xk${r}`, 4)).join(' ')} ${panelNumbers.map((p) => move(`wk${p}`, PANEL_BYTES)).join(' ')}
      (br_if $${label} (i32.lt_u (local.get $xk0) (local.get $end))))
    ${store.join('\n    ')}`;
}

/** Repeats `code` over the panels, `panels` at a time, while that many are left. */
function overPanels(rows, panels, label) {
  return `
    (block $${label}_done (loop $${label}
      (br_if $${label}_done (i32.gt_u (i32.add (local.get $p) (i32.const ${panels})) (local.get $panels)))
      ${block(rows, panels, `${label}_k`)}
      (local.set $p (i32.add (local.get $p) (i32.const ${panels})))
      (local.set $wp (i32.add (local.get $wp) (i32.mul (local.get $panelBytes) (i32.const ${panels}))))
      (local.set $bp (i32.add (local.get $bp) (i32.const ${panels * PANEL_BYTES})))
      (local.set $yp (i32.add (local.get $yp) (i32.const ${panels * PANEL_BYTES})))
      (br $${label})))`;
}

function overRows(rows, label, inner) {
  return `
    (block $${label}_done (loop $${label}
      (br_if $${label}_done (i32.gt_u (i32.add (local.get $r) (i32.const ${rows})) (local.get $rows)))
      (local.set $xp (i32.add (local.get $x) (i32.mul (local.get $r) (local.get $xBytes))))
      (local.set $yp (i32.add (local.get $y) (i32.mul (local.get $r) (local.get $yBytes))))
      (local.set $wp (local.get $w)) (local.set $bp (local.get $b)) (local.set $p (i32.const 0))
      ${inner}
      (local.set $r (i32.add (local.get $r) (i32.const ${rows})))
      (br $${label})))`;
}

/** Four values of a row as float64, two and two, from $at. */
const inHalves = `
  (local.set $v (v128.load (local.get $at)))
  (local.set $low (f64x2.promote_low_f32x4 (local.get $v)))
  (local.set $high (f64x2.promote_low_f32x4
    (i8x16.shuffle 8 9 10 11 12 13 14 15 0 1 2 3 4 5 6 7 (local.get $v) (local.get $v))))`;
const value = '(f64.promote_f32 (f32.load (local.get $at)))';
/** Does `four` for every four values of a row, then `one` for each of the rest. */
const overValues = (label, four, one) => `
  (local.set $at (local.get $x))
  (block $${label}_fours (loop $${label}_four
    (br_if $${label}_fours (i32.gt_u (i32.add (local.get $at) (i32.const 16)) (local.get $end)))
    ${four}
    (local.set $at (i32.add (local.get $at) (i32.const 16)))
    (br $${label}_four)))
  (block $${label}_ones (loop $${label}_one
    (br_if $${label}_ones (i32.ge_u (local.get $at) (local.get $end)))
    ${one}
    (local.set $at (i32.add (local.get $at) (i32.const 4)))
    (br $${label}_one)))`;

/** As `normalizeRowsInPlace` in src/core/distance.ts, to the bit: four sums in float64, then one product a value. */
const NORMALIZE_TEXT = `
  (func (export "normalize") (param $x i32) (param $rows i32) (param $cols i32) (param $stride i32)
    (local $at i32) (local $end i32) (local $v v128) (local $low v128) (local $high v128)
    (local $pq v128) (local $rs v128) (local $scales v128) (local $rest f64) (local $norm f64)
    (block $done (loop $row
      (br_if $done (i32.eqz (local.get $rows)))
      (local.set $end (i32.add (local.get $x) (i32.shl (local.get $cols) (i32.const 2))))
      (local.set $pq (v128.const f64x2 0 0)) (local.set $rs (v128.const f64x2 0 0))
      ${overValues(
        'sum',
        `${inHalves}
        (local.set $pq (f64x2.add (local.get $pq) (f64x2.mul (local.get $low) (local.get $low))))
        (local.set $rs (f64x2.add (local.get $rs) (f64x2.mul (local.get $high) (local.get $high))))`,
        `(local.set $rest ${value})
        (local.set $pq (f64x2.replace_lane 0 (local.get $pq)
          (f64.add (f64x2.extract_lane 0 (local.get $pq)) (f64.mul (local.get $rest) (local.get $rest)))))`,
      )}
      (local.set $norm (f64.sqrt (f64.add (f64.add
        (f64.add (f64x2.extract_lane 0 (local.get $pq)) (f64x2.extract_lane 1 (local.get $pq)))
        (f64x2.extract_lane 0 (local.get $rs))) (f64x2.extract_lane 1 (local.get $rs)))))
      (if (f64.ne (local.get $norm) (f64.const 0)) (then
        (local.set $norm (f64.div (f64.const 1) (local.get $norm)))
        (local.set $scales (f64x2.splat (local.get $norm)))
        ${overValues(
          'scale',
          `${inHalves}
          (v128.store (local.get $at) (i8x16.shuffle 0 1 2 3 4 5 6 7 16 17 18 19 20 21 22 23
            (f32x4.demote_f64x2_zero (f64x2.mul (local.get $low) (local.get $scales)))
            (f32x4.demote_f64x2_zero (f64x2.mul (local.get $high) (local.get $scales)))))`,
          `(f32.store (local.get $at) (f32.demote_f64 (f64.mul ${value} (local.get $norm))))`,
        )}))
      (local.set $x (i32.add (local.get $x) (local.get $stride)))
      (local.set $rows (i32.sub (local.get $rows) (i32.const 1)))
      (br $row))))`;

const i32 = [
  ...['p', 'r', 'xp', 'wp', 'bp', 'yp', 'end', 'panels', 'xBytes', 'yBytes', 'panelBytes'],
  ...Array.from({ length: ROWS_MAX }, (_, r) => `xk${r}`),
  ...PANELS_OF_ONE_ROW.map((_, p) => `wk${p}`),
];
const v128 = ['s', 'w0', 'w1', ...Array.from({ length: 2 * ROWS_MAX }, (_, i) => `acc${i}`)];

const KERNEL_TEXT = `(module
  (memory (export "memory") 1)
  (func (export "layer") (param $x i32) (param $w i32) (param $b i32) (param $y i32)
    (param $rows i32) (param $in i32) (param $out i32) (param $relu i32)
    ${i32.map((name) => `(local $${name} i32)`).join(' ')}
    ${v128.map((name) => `(local $${name} v128)`).join(' ')}
    (local.set $panels (i32.shr_u (local.get $out) (i32.const 3)))
    (local.set $xBytes (i32.shl (local.get $in) (i32.const 2)))
    (local.set $yBytes (i32.shl (local.get $out) (i32.const 2)))
    (local.set $panelBytes (i32.shl (local.get $in) (i32.const 5)))
    ${overRows(ROWS_MAX, 'rows4', overPanels(ROWS_MAX, 1, 'rows4_panels'))}
    ${overRows(1, 'rows1', PANELS_OF_ONE_ROW.map((panels) => overPanels(1, panels, `rows1_panels${panels}`)).join(''))})
  ${NORMALIZE_TEXT})`;

await writeWasmFile(KERNEL_TEXT, {
  path: 'src/encoder/projection-kernel-wasm.ts',
  name: 'KERNEL_WASM_BASE64',
  comment: 'The projection kernel, made by scripts/build-projection-kernel.mjs.',
});
