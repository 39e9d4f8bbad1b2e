/**
 * Writes adapters/qdrant/serve/json/number-reader-wasm.ts: the reader of JSON numbers, as WebAssembly text assembled by
 * wabt. Run by `npm run build:number-reader` (`--print` writes to standard output instead); a test checks that the
 * committed file is what this one produces.
 *
 * read(at, end, hardEnd, out): reads numbers from $at on into float32 at $out, as long as one begins before $end. Bytes
 * up to $hardEnd are the text's; at least 16 bytes behind it are zero. Sixteen digits are read at once: neighbours are
 * joined to numbers of 2, 4 and 8 digits. Branches are where they can be foretold; a number's sign, how many digits it
 * has behind the first sixteen, or whether its fraction begins with a zero, cannot. (V8 branches where `select` chooses
 * between floats.) A number is left to the caller where it has more than 40 bytes, a power of ten beyond 22, or digits
 * that leave its float32 open. It returns where it stopped; at 0 stands why, at 4 how many numbers there were.
 */
import { Buffer } from 'node:buffer';
import { writeWasmFile } from './wasm-file.mjs';

const STOPS = { more: 0, closed: 1, slow: 2, other: 3 };
const NUMBER_BYTES_MAX = 40;
/** So many digits fit a signed 64-bit integer. */
const DIGITS_MAX = 18;
/** Up to here a power of ten is exact in float64. */
const POWER_MAX = 22;
const POWERS_AT = 16;
/** Digits that are read at once. */
const LANES = 16;
const TENS_AT = POWERS_AT + 8 * (POWER_MAX + 1);
/** From here on 16 indexes that move the first n bytes to the end, from n = 0 on; what they leave free becomes zero. */
const SHIFTS_AT = TENS_AT + 8 * (LANES + 1);
/** Integers below are exact in float64. */
const EXACT_MAX = '9007199254740992';
/** More than the relative error of two roundings in float64, and of cutting off all but the first 18 digits behind 0.00. */
const MARGIN = '2e-15';

const powers = Buffer.from(Float64Array.from({ length: POWER_MAX + 1 }, (_, i) => Number(`1e${i}`)).buffer);
const tens = Buffer.from(BigInt64Array.from({ length: LANES + 1 }, (_, i) => 10n ** BigInt(i)).buffer);
const shifts = Array.from({ length: 2 * LANES }, (_, i) => (i < LANES ? 255 : i - LANES));
const data = [...powers, ...tens, ...shifts]
  .map((byte) => `\\${byte.toString(16).padStart(2, '0')}`)
  .join('');

/** Leaves the function: numbers so far, why, and where. */
const stop = (why, at) => `
  (i32.store (i32.const 0) (i32.const ${STOPS[why]}))
  (i32.store (i32.const 4) (i32.shr_u (i32.sub (local.get $out) (local.get $first)) (i32.const 2)))
  (return (local.get ${at}))`;
const byte = '(i32.load8_u (local.get $p))';
const digit = `(local.tee $c (i32.sub ${byte} (i32.const 48)))`;
const isDigit = `(i32.le_u ${digit} (i32.const 9))`;
const next = '(local.set $p (i32.add (local.get $p) (i32.const 1)))';
const count = '(local.set $digits (i32.add (local.get $digits) (i32.const 1)))';
const append =
  '(local.set $mantissa (i64.add (i64.mul (local.get $mantissa) (i64.const 10)) (i64.extend_i32_u (local.get $c))))';
const slow = `(then ${stop('slow', '$start')})`;
const tooLong = `(if (i32.gt_u (i32.sub (local.get $p) (local.get $start)) (i32.const ${NUMBER_BYTES_MAX})) ${slow})`;
/** Passes digits while `condition` holds, doing `code` for each. */
const whileDigits = (label, condition, code) => `
  (block $${label}_done (loop $${label}
    (br_if $${label}_done (i32.eqz ${isDigit}))
    ${condition === '' ? '' : `(br_if $${label}_done (i32.eqz ${condition}))`}
    ${code} ${next} ${tooLong}
    (br $${label})))`;
/** Space, newline, return and tab: bits 32, 10, 13 and 9 of a word. */
const passBlanks = (label) => `
  (block $${label}_done (loop $${label}
    (br_if $${label}_done (i32.gt_u ${byte} (i32.const 32)))
    (br_if $${label}_done (i64.eqz (i64.and
      (i64.shl (i64.const 1) (i64.extend_i32_u ${byte})) (i64.const 0x100002600))))
    ${next}
    (if (i32.ge_u (local.get $p) (local.get $hardEnd)) ${slow})
    (br $${label})))`;
const bytesOf = (value) => `(v128.const i8x16${` ${value}`.repeat(LANES)})`;
/** The 16 bytes at $p less the digit 0. */
const loadValues = `(local.set $v (i8x16.sub (v128.load (local.get $p)) ${bytesOf(48)}))`;
/** How many bytes come before the first that is marked. */
const valuesBefore = (marked) => `(i32.ctz (i32.or (i8x16.bitmask ${marked}) (i32.const ${1 << LANES})))`;
/** The first $take values of $v, as two numbers of eight digits in its first two lanes. */
const joinDigits = `
  (local.set $v (i16x8.add
    (i16x8.mul (v128.and (local.get $v) (v128.const i16x8${' 255'.repeat(8)})) (v128.const i16x8${' 10'.repeat(8)}))
    (i16x8.shr_u (local.get $v) (i32.const 8))))
  (local.set $v (i32x4.dot_i16x8_s (local.get $v) (v128.const i16x8${' 100 1'.repeat(4)})))
  (local.set $v (i32x4.dot_i16x8_s
    (i16x8.narrow_i32x4_u (local.get $v) (local.get $v)) (v128.const i16x8${' 10000 1'.repeat(4)})))`;
/** One more digit where one follows and fits, without a branch: it would be foretold badly. */
const appendOne = `
  (local.set $take (i32.and ${isDigit} (i32.lt_u (local.get $digits) (i32.const ${DIGITS_MAX}))))
  (local.set $mantissa (select (i64.add (i64.mul (local.get $mantissa) (i64.const 10)) (i64.extend_i32_u (local.get $c)))
    (local.get $mantissa) (local.get $take)))
  (local.set $digits (i32.add (local.get $digits) (local.get $take)))
  (local.set $p (i32.add (local.get $p) (local.get $take)))`;

const TEXT = `(module
  (memory (export "memory") 4)
  (data (i32.const ${POWERS_AT}) "${data}")
  (func (export "read") (param $p i32) (param $end i32) (param $hardEnd i32) (param $out i32) (result i32)
    (local $first i32) (local $start i32) (local $negative i32) (local $c i32) (local $digits i32)
    (local $fraction i32) (local $power i32) (local $cut i32) (local $take i32) (local $room i32)
    (local $mantissa i64) (local $value f64) (local $rounded f32) (local $v v128)
    (local.set $first (local.get $out))
    (loop $number
      (local.set $start (local.get $p))
      (if (i32.ge_u (local.get $p) (local.get $end)) (then ${stop('more', '$p')}))
      (local.set $negative (i32.eq ${byte} (i32.const 45)))
      (local.set $p (i32.add (local.get $p) (local.get $negative)))
      (local.set $mantissa (i64.const 0)) (local.set $digits (i32.const 0))
      (local.set $power (i32.const 0)) (local.set $cut (i32.const 0))
      (if (i32.eqz ${isDigit}) ${slow})
      (if (i32.eqz (local.get $c))
        (then ${next} (if ${isDigit} ${slow}))
        (else
          ${whileDigits('whole', '', `${append} ${count}`)}
          (if (i32.gt_u (local.get $digits) (i32.const ${DIGITS_MAX})) ${slow})))
      (if (i32.eq ${byte} (i32.const 46)) (then
        ${next}
        (local.set $fraction (local.get $p))
        (if (i32.eqz ${isDigit}) ${slow})
        (if (i32.and (i64.eqz (local.get $mantissa))
            (i32.eqz (i32.and (i32.load (local.get $p)) (i32.const 0x0f0f0f)))) (then
          (loop $zeros
            ${loadValues}
            (local.set $take ${valuesBefore('(i8x16.ne (local.get $v) (v128.const i64x2 0 0))')})
            (local.set $p (i32.add (local.get $p) (local.get $take)))
            ${tooLong}
            (br_if $zeros (i32.eq (local.get $take) (i32.const ${LANES}))))))
        ${loadValues}
        (local.set $take ${valuesBefore(`(i8x16.gt_u (local.get $v) ${bytesOf(9)})`)})
        (local.set $room (i32.sub (i32.const ${DIGITS_MAX}) (local.get $digits)))
        (if (i32.gt_u (local.get $take) (local.get $room)) (then (local.set $take (local.get $room))))
        (if (i32.eq (local.get $take) (i32.const ${LANES}))
          (then (local.set $p (i32.add (local.get $p) (i32.const ${LANES}))))
          (else
            (local.set $p (i32.add (local.get $p) (local.get $take)))
            (local.set $v (i8x16.swizzle (local.get $v) (v128.load offset=${SHIFTS_AT} (local.get $take))))))
        ${joinDigits}
        (local.set $mantissa (i64.add
          (i64.mul (local.get $mantissa) (i64.load offset=${TENS_AT} (i32.shl (local.get $take) (i32.const 3))))
          (i64.add
            (i64.mul (i64.extend_i32_u (i32x4.extract_lane 0 (local.get $v))) (i64.const 100000000))
            (i64.extend_i32_u (i32x4.extract_lane 1 (local.get $v))))))
        (if (i32.eq (local.get $take) (i32.const ${LANES})) (then
          (local.set $digits (i32.add (local.get $digits) (i32.const ${LANES})))
          ${appendOne} ${appendOne}))
        (local.set $power (i32.sub (local.get $p) (local.get $fraction)))
        (if ${isDigit} (then
          (local.set $cut (i32.const 1))
          ${whileDigits('rest', '', '')}))))
      (if (i32.eq (i32.or ${byte} (i32.const 32)) (i32.const 101)) (then
        ${next}
        (local.set $fraction (i32.eq ${byte} (i32.const 45)))
        (if (i32.or (local.get $fraction) (i32.eq ${byte} (i32.const 43))) (then ${next}))
        (if (i32.eqz ${isDigit}) ${slow})
        (local.set $digits (i32.const 0))
        ${whileDigits('exponent', '(i32.lt_u (local.get $digits) (i32.const 100))', '(local.set $digits (i32.add (i32.mul (local.get $digits) (i32.const 10)) (local.get $c)))')}
        (if ${isDigit} ${slow})
        (local.set $power (i32.add (local.get $power)
          (select (local.get $digits) (i32.sub (i32.const 0) (local.get $digits)) (local.get $fraction))))))
      ${tooLong}
      (if (i32.gt_u (i32.add (local.get $power) (i32.const ${POWER_MAX})) (i32.const ${2 * POWER_MAX})) ${slow})
      (local.set $value (f64.convert_i64_s (local.get $mantissa)))
      (local.set $value (if (result f64) (i32.ge_s (local.get $power) (i32.const 0))
        (then (f64.div (local.get $value)
          (f64.load offset=${POWERS_AT} (i32.shl (local.get $power) (i32.const 3)))))
        (else (f64.mul (local.get $value)
          (f64.load offset=${POWERS_AT} (i32.shl (i32.sub (i32.const 0) (local.get $power)) (i32.const 3)))))))
      (local.set $rounded (f32.demote_f64 (local.get $value)))
      (if (f32.ne
        (f32.demote_f64 (f64.mul (local.get $value) (f64.sub (f64.const 1) (f64.const ${MARGIN}))))
        (f32.demote_f64 (f64.mul (local.get $value) (f64.add (f64.const 1) (f64.const ${MARGIN}))))) (then
        (if (i32.or (local.get $cut) (i64.gt_u (local.get $mantissa) (i64.const ${EXACT_MAX}))) ${slow})))
      (i32.store (local.get $out)
        (i32.xor (i32.reinterpret_f32 (local.get $rounded)) (i32.shl (local.get $negative) (i32.const 31))))
      ${passBlanks('before')}
      (if (i32.eq ${byte} (i32.const 93)) (then
        (local.set $out (i32.add (local.get $out) (i32.const 4)))
        ${stop('closed', '$p')}))
      (if (i32.ne ${byte} (i32.const 44)) (then ${stop('other', '$start')}))
      ${next}
      ${passBlanks('after')}
      (if (i32.eqz (i32.or (i32.eq ${byte} (i32.const 45)) ${isDigit})) (then ${stop('other', '$start')}))
      (local.set $out (i32.add (local.get $out) (i32.const 4)))
      (br $number))
    (unreachable)))`;

await writeWasmFile(TEXT, {
  path: 'adapters/qdrant/serve/json/number-reader-wasm.ts',
  name: 'NUMBER_READER_WASM_BASE64',
  comment: 'WebAssembly that reads JSON numbers, made by scripts/build-number-reader.mjs.',
});
