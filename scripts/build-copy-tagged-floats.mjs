/**
 * Writes adapters/qdrant/transport/copy-tagged-floats-wasm.ts: takes the tags out of floats that follow each other in a message, each
 * behind a tag of one byte, as WebAssembly text assembled by wabt. Run by `npm run build:copy-tagged-floats` (`--print` writes to
 * standard output instead); a test checks that the committed file is what this one produces.
 *
 * run(at, count, out): moves up to $count floats with the tag of the first from $at to $out. It returns how many: fewer
 * where another tag stands. Four and their tags are 20 bytes: two loads, of which one shuffle takes the floats.
 */
import { writeWasmFile } from './wasm-file.mjs';

const BYTES = 5;
const LANES = 4;
/** Floats whose tags are looked at together. */
const BLOCK = 4 * LANES;
/** Of the 16 bytes from a tag on and the 16 bytes four behind, those that are no tags. */
const FLOAT_BYTES_AT = Array.from({ length: LANES * 4 }, (_, i) => {
  const at = Math.floor(i / 4) * BYTES + 1 + (i % 4);
  return at < 16 ? at : at - 4 + 16;
});
/** The tags among the first 16 bytes: one for each of the four. */
const TAG_BYTES = Array.from({ length: 16 }, (_, i) => (i % BYTES === 0 ? 255 : 0));

const more = (floats) => `(i32.le_u (i32.add (local.get $done) (i32.const ${floats})) (local.get $count))`;
const moveOn = (floats) => `
  (local.set $at (i32.add (local.get $at) (i32.const ${BYTES * floats})))
  (local.set $out (i32.add (local.get $out) (i32.const ${4 * floats})))
  (local.set $done (i32.add (local.get $done) (i32.const ${floats})))`;
/** Where a tag is another one, that is seen behind the block: what was moved of it is moved again, one by one. */
const moveFour = (i) => `
  (local.set $v (v128.load offset=${i * LANES * BYTES} (local.get $at)))
  (local.set $others (v128.or (local.get $others) (v128.xor (local.get $v) (local.get $tags))))
  (v128.store offset=${i * LANES * 4} (local.get $out)
    (i8x16.shuffle ${FLOAT_BYTES_AT.join(' ')}
      (local.get $v) (v128.load offset=${i * LANES * BYTES + 4} (local.get $at))))`;

const TEXT = `(module
  (memory (export "memory") 1)
  (func (export "run") (param $at i32) (param $count i32) (param $out i32) (result i32)
    (local $tag i32) (local $tags v128) (local $v v128) (local $others v128) (local $done i32)
    (local.set $tag (i32.load8_u (local.get $at)))
    (local.set $tags (i8x16.splat (local.get $tag)))
    (block $end_blocks (loop $block
      (br_if $end_blocks (i32.eqz ${more(BLOCK)}))
      (local.set $others (v128.const i64x2 0 0))
      ${Array.from({ length: BLOCK / LANES }, (_, i) => moveFour(i)).join('')}
      (br_if $end_blocks
        (v128.any_true (v128.and (local.get $others) (v128.const i8x16 ${TAG_BYTES.join(' ')}))))
      ${moveOn(BLOCK)}
      (br $block)))
    (block $end (loop $one
      (br_if $end (i32.eqz ${more(1)}))
      (br_if $end (i32.ne (i32.load8_u (local.get $at)) (local.get $tag)))
      (i32.store (local.get $out) (i32.load offset=1 (local.get $at)))
      ${moveOn(1)}
      (br $one)))
    (local.get $done)))`;

await writeWasmFile(TEXT, {
  path: 'adapters/qdrant/transport/copy-tagged-floats-wasm.ts',
  name: 'COPY_TAGGED_FLOATS_WASM_BASE64',
  comment: 'WebAssembly that removes the tags between floats, made by scripts/build-copy-tagged-floats.mjs.',
});
