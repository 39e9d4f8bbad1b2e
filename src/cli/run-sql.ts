import { writeWhole } from '../core/write-file.js';
import { expectDefined } from '../core/errors.js';
import { Encoder } from '../encoder/model.js';
import { allAdapters } from './adapters.js';
import { checkOutput } from './console/check-output.js';
import { withConsole } from './console/command-body.js';
import type { GlobalFlags } from './console/options.js';

export interface SqlFlags extends GlobalFlags {
  readonly encoder: string;
  readonly schema: string;
  readonly extensionSchema: string;
  readonly out?: string;
  readonly force?: boolean;
}

/** Runs `sql`. */
export function runSql(flags: SqlFlags): Promise<void> {
  return withConsole(flags, async (run) => {
    const { schema, extensionSchema } = flags;
    const out = flags.out === '-' ? undefined : flags.out;
    const encoder = await Encoder.load(flags.encoder);
    if (out !== undefined) await checkOutput(out, { force: flags.force === true, dryRun: false });
    const { encoderScript } = expectDefined(
      allAdapters().find((adapter) => adapter.encoderScript !== undefined),
      'an adapter that writes scripts',
    );
    const make = expectDefined(encoderScript, 'the script of an adapter');
    const script = await make(encoder.toBytes(), { schema, extensionSchema });
    if (out === undefined) process.stdout.write(script);
    else {
      await writeWhole(out, async (file) => {
        await file.writeFile(script);
      });
      run.say(`wrote ${out}`);
    }
    const { fingerprint, inputDim, outputDim } = encoder;
    run.result({ fingerprint, inputDim, outputDim, ...(out === undefined ? {} : { out }) });
  });
}
