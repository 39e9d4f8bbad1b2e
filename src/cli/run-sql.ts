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
  readonly precision?: 'float' | 'half';
  readonly out?: string;
  readonly force?: boolean;
}

const DATATYPES = { float: 'float32', half: 'float16' } as const;

/** Runs `sql`. */
export function runSql(flags: SqlFlags): Promise<void> {
  return withConsole(flags, async (run) => {
    const { schema, extensionSchema, precision } = flags;
    const weights = precision && DATATYPES[precision];
    const out = flags.out === '-' ? undefined : flags.out;
    const encoder = await Encoder.load(flags.encoder);
    if (out !== undefined) await checkOutput(out, { force: flags.force === true, dryRun: false });
    const { encoderScript } = expectDefined(
      allAdapters().find((adapter) => adapter.encoderScript !== undefined),
      'an adapter that writes scripts',
    );
    const make = expectDefined(encoderScript, 'the script of an adapter');
    const { text, notes } = await make(encoder.toBytes(), { schema, extensionSchema, weights });
    if (out === undefined) process.stdout.write(text);
    else {
      await writeWhole(out, async (file) => {
        await file.writeFile(text);
      });
      run.say(`wrote ${out}`);
      notes.forEach((note) => run.say(note));
    }
    const { fingerprint, inputDim, outputDim } = encoder;
    run.result({ fingerprint, inputDim, outputDim, notes, ...(out === undefined ? {} : { out }) });
  });
}
