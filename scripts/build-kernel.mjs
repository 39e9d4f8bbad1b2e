/**
 * Writes src/core/kernel-wasm.ts: the projection kernel, generated as WebAssembly text and assembled by wabt.
 * Run by `npm run build:kernel` (`--print` writes to standard output instead); a test checks that the committed
 * file is what this one produces.
 *
 * y[rows x out] = x[rows x in] W + b, optionally max(0, y). W comes in panels of 8 columns (each panel in x 8),
 * out is a multiple of 8. Four rows share each load of W; the last rows go one by one, four panels at a time.
 */
import { writeWasmFile } from './wasm-file.mjs';

const LANES = [0, 1];

/** Multiply-accumulate over all of `in` for `rows` rows and `panels` panels, from $xp, $wp, $bp to $yp. */
function block(rows, panels, label) {
  const cells = [];
  for (let r = 0; r < rows; r++)
    for (let p = 0; p < panels; p++) for (const l of LANES) cells.push({ r, p, l });
  const acc = ({ r, p, l }) => `$acc${(r * panels + p) * 2 + l}`;
  const rowAddress = (base, r, stride) =>
    r === 0 ? base : `(i32.add ${base} (i32.mul (i32.const ${r}) ${stride}))`;
  const init = cells.map(
    (c) => `(local.set ${acc(c)} (v128.load offset=${c.p * 32 + c.l * 16} (local.get $bp)))`,
  );
  const body = [];
  for (let p = 0; p < panels; p++) {
    const panel = rowAddress('(local.get $wk)', p, '(local.get $panelBytes)');
    for (const l of LANES) body.push(`(local.set $w${p * 2 + l} (v128.load offset=${l * 16} ${panel}))`);
  }
  for (let r = 0; r < rows; r++) {
    const x = rowAddress('(local.get $xk)', r, '(local.get $xBytes)');
    body.push(`(local.set $s (v128.load32_splat ${x}))`);
    for (const c of cells.filter((cell) => cell.r === r)) {
      const product = `(f32x4.mul (local.get $s) (local.get $w${c.p * 2 + c.l}))`;
      body.push(`(local.set ${acc(c)} (f32x4.add (local.get ${acc(c)}) ${product}))`);
    }
  }
  const store = cells.map((c) => {
    const value = `(select (f32x4.pmax (v128.const f32x4 0 0 0 0) (local.get ${acc(c)})) (local.get ${acc(c)}) (local.get $relu))`;
    const y = rowAddress('(local.get $yp)', c.r, '(local.get $yBytes)');
    return `(v128.store offset=${c.p * 32 + c.l * 16} ${y} ${value.replace('(select', '(select (result v128)')})`;
  });
  return `
    ${init.join('\n    ')}
    (local.set $xk (local.get $xp)) (local.set $wk (local.get $wp))
    (local.set $end (i32.add (local.get $xp) (local.get $xBytes)))
    (loop $${label}
      ${body.join('\n      ')}
      (local.set $xk (i32.add (local.get $xk) (i32.const 4)))
      (local.set $wk (i32.add (local.get $wk) (i32.const 32)))
      (br_if $${label} (i32.lt_u (local.get $xk) (local.get $end))))
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
      (local.set $bp (i32.add (local.get $bp) (i32.const ${panels * 32})))
      (local.set $yp (i32.add (local.get $yp) (i32.const ${panels * 32})))
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

const i32 = ['p', 'r', 'xp', 'wp', 'bp', 'yp', 'xk', 'wk', 'end', 'panels', 'xBytes', 'yBytes', 'panelBytes'];
const v128 = [
  's',
  ...Array.from({ length: 8 }, (_, i) => `acc${i}`),
  ...Array.from({ length: 8 }, (_, i) => `w${i}`),
];

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
    ${overRows(4, 'rows4', overPanels(4, 1, 'rows4_panels'))}
    ${overRows(1, 'rows1', overPanels(1, 4, 'rows1_panels4') + overPanels(1, 1, 'rows1_panels1'))}))`;

await writeWasmFile(KERNEL_TEXT, {
  path: 'src/core/kernel-wasm.ts',
  name: 'KERNEL_WASM_BASE64',
  comment: 'The projection kernel, made by scripts/build-kernel.mjs.',
});
