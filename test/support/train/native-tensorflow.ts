import { existsSync } from 'node:fs';
import { resolve } from 'node:path';

/** Where `scripts/build-tfjs-node.sh` puts TensorFlow.js for Node. */
const NATIVE_MODULES = resolve('build/tfjs-node-cpu/node_modules');

/** The folder of modules with a native TensorFlow.js; null, and a line that says so, if it was not built. */
export function nativeTensorflow(): string | null {
  if (existsSync(resolve(NATIVE_MODULES, '@tensorflow/tfjs-node/lib'))) return NATIVE_MODULES;
  process.stdout.write(
    'left out: tests of native TensorFlow, since scripts/build-tfjs-node.sh has not built it\n',
  );
  return null;
}
