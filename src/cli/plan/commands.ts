import { fileNamePart } from '../../core/bounded-name.js';
import { secondsPerSize } from '../../plan/plan-budget.js';
import type { PlanOptions, PlanSetup } from '../../plan/prepare-plan.js';
import type { SizingRow } from '../../plan/sizing-row.js';
import type { FullForm } from '../../store/adapter.js';
import { DATATYPES, type StorageKind } from '../../store/collection.js';
import { adapterFor, hasProxy } from '../adapters.js';
import { clientsLine, nextCommand } from '../console/next-commands.js';
import type { GlobalFlags } from '../console/options.js';
import { shellWord } from '../console/shell-command.js';
import {
  collectionMadeBy,
  migrationLine,
  searchLine,
  targetNameOf,
  trainingLine,
} from './deploy-commands.js';

/** Returns the commands that create a configuration, search it and serve it. */
export async function planCommands(
  row: SizingRow,
  {
    options,
    setup,
    url,
    flags,
    trainFlags,
  }: {
    readonly options: PlanOptions;
    readonly setup: PlanSetup;
    readonly url: string;
    /** The flags of `plan`, with those that lead to the database. */
    readonly flags: GlobalFlags;
    /** How the encoders were scored, as flags of `train`. */
    readonly trainFlags: readonly (readonly [string, string])[];
  },
): Promise<string[]> {
  const { collection, vectorName, seed } = options;
  if (row.datatype === 'as configured' || row.kind === 'current')
    return ['# nothing to do: the collection already is like this'];
  const { fullFormSteps } = adapterFor(url);
  if (row.kind === 'full' && fullFormSteps !== undefined)
    return [...(await fullFormSteps(fullForm(row, { setup, datatype: row.datatype, collection })))];
  if (row.kind === 'full') return fullCommands(row, { setup, url, collection });
  const encoderFile = `${fileNamePart(collection)}-${row.dim}.onnx`;
  const { dim, datatype, oversampling, layout } = row;
  const hnswM = row.hnswM === setup.current.hnswM ? undefined : row.hnswM;
  const made = { dim, datatype, oversampling, layout, hnswM };
  const isBeside = adapterFor(url).migratesInPlace === true;
  const target = isBeside ? collection : targetNameOf(collection, made);
  const deployment = { collection, vectorName, encoderFile, target, row: made };
  const training = trainingLine(deployment, [
    ['--seed', seed],
    ...trainFlags,
    ['--budget', `${secondsPerSize(options, setup)}s`],
    ...(options.deterministic === false ? [] : [['--deterministic', null] as const]),
  ]);
  const clients = isBeside || hasProxy(url) ? [clientsLine(collectionMadeBy(deployment), url)] : [];
  return [training, migrationLine(deployment), searchLine(deployment), ...clients].map((line) =>
    nextCommand(flags, line),
  );
}

function fullForm(
  { prefix, hnswM, oversampling }: SizingRow,
  of: {
    readonly setup: PlanSetup;
    readonly datatype: StorageKind;
    readonly collection: string;
  },
): FullForm {
  const { setup, datatype, collection } = of;
  return { collection, vector: setup.vector, datatype, prefix, hnswM, oversampling };
}

const BINARY_SETTINGS: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  binary: {},
  'binary-1bit': { query_encoding: 'scalar8bits' },
  'binary-1.5bit': { encoding: 'one_and_half_bits', query_encoding: 'scalar8bits' },
  'binary-2bit': { encoding: 'two_bits', query_encoding: 'scalar8bits' },
};

/** Full vectors need no encoder: only the server's storage settings change. */
function fullCommands(
  row: SizingRow,
  { setup, url, collection }: { setup: PlanSetup; url: string; collection: string },
): string[] {
  if (DATATYPES.some((name) => name === row.datatype))
    return [
      `# the datatype of an existing vector cannot be changed: create a collection with ${row.datatype}${row.hnswM === setup.current.hnswM ? '' : ` and m ${row.hnswM} of hnsw_config`}, and copy`,
    ];
  const turbo = /^turbo-(.+)bit$/.exec(row.datatype)?.[1];
  const codes =
    turbo !== undefined
      ? { turbo: { bits: `bits${turbo.replace('.', '_')}`, always_ram: true } }
      : row.datatype === 'scalar'
        ? { scalar: { type: 'int8', always_ram: true } }
        : row.datatype in BINARY_SETTINGS
          ? { binary: { ...BINARY_SETTINGS[row.datatype], always_ram: true } }
          : { product: { compression: row.datatype.replace('product-', ''), always_ram: true } };
  const graph = row.hnswM === setup.current.hnswM ? {} : { hnsw_config: { m: row.hnswM } };
  const body = {
    vectors: { [setup.vector.name]: { on_disk: true, quantization_config: codes, ...graph } },
  };
  const commands = [
    `curl -X PATCH ${shellWord(`${url}/collections/${encodeURIComponent(collection)}`)} -H 'content-type: application/json' -d ${shellWord(JSON.stringify(body))}`,
  ];
  if (row.oversampling > 1) {
    const params = { quantization: { rescore: true, oversampling: row.oversampling } };
    commands.push(`# and in every search: "params": ${JSON.stringify(params)}`);
  }
  return commands;
}
