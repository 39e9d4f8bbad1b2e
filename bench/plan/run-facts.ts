import { cpus } from 'node:os';
import { PACKAGED_VERSION } from '../../adapters/qdrant/local/packaged-version.js';
import { expectDefined } from '../../src/core/errors.js';

/** The machine, the versions and the day of a run, as pages show them. */
export interface RunFacts {
  readonly server: string;
  readonly date: string;
  readonly cpu: string;
  readonly cores: number;
  readonly node: string;
}

/** Returns the facts of a run on this machine, with the packaged server. */
export function factsOfThisRun(): RunFacts {
  return {
    server: PACKAGED_VERSION,
    date: new Date().toISOString().slice(0, 10),
    cpu: expectDefined(cpus()[0], 'a processor').model,
    cores: cpus().length,
    node: process.versions.node,
  };
}
