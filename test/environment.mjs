import { TestEnvironment } from 'jest-environment-node';
import { runInContext } from 'node:vm';

const SHARED = [
  'ArrayBuffer',
  'SharedArrayBuffer',
  'DataView',
  'Float32Array',
  'Float64Array',
  'Int8Array',
  'Int16Array',
  'Int32Array',
  'Uint8Array',
  'Uint8ClampedArray',
  'Uint16Array',
  'Uint32Array',
  'BigInt64Array',
  'BigUint64Array',
];

/** Other names that code in loops uses. */
const OFTEN_USED = [
  'Array',
  'BigInt',
  'Error',
  'JSON',
  'Map',
  'Math',
  'Number',
  'Object',
  'Promise',
  'Set',
  'String',
];

/** Jest gives each file its own globals; native addons check `instanceof Float32Array` against the host's. */
export default class HostArraysEnvironment extends TestEnvironment {
  async setup() {
    await super.setup();
    for (const name of SHARED) this.global[name] = globalThis[name];
    // A property of Jest's global object is looked up by slow code of Node each time it is used, which makes a loop with
    // `Math.exp` in it about ten times slower. A constant of the same name hides the property and costs nothing.
    const constants = [...SHARED, ...OFTEN_USED].map((name) => `${name} = globalThis.${name}`);
    runInContext(`const ${constants.join(', ')};`, this.context);
  }
}
