import { Buffer } from 'node:buffer';
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import wabt from 'wabt';

/**
 * Assembles WebAssembly text and writes it as a TypeScript file that exports it in base64; with `--print` to standard
 * output instead, for the test that compares.
 * @param wat the module
 * @param file where it goes (from the repository's root), and the exported constant with its first line
 */
export async function writeWasmFile(wat, { path, name, comment }) {
  const module = (await wabt()).parseWat(path, wat, { simd: true });
  const { buffer } = module.toBinary({});
  module.destroy();
  const lines = Buffer.from(buffer)
    .toString('base64')
    .match(/.{1,100}/g)
    .map((line) => `  '${line}'`);
  const text = `/** ${comment} */\nexport const ${name} =\n${lines.join(' +\n')};\n`;
  if (process.argv[2] === '--print') process.stdout.write(text);
  else writeFileSync(fileURLToPath(new URL(`../${path}`, import.meta.url)), text);
}
