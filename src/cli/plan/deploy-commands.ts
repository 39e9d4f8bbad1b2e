import { dependsOnRotation } from '../../evaluate/stored-codes.js';
import { storageOf } from '../../plan/sizing-row.js';
import type { Layout, StorageKind } from '../../store/collection.js';
import type { ShellCommand } from '../console/shell-command.js';
import { targetName } from '../console/target-name.js';

type Flags = ShellCommand['flags'];

/** First-stage results per requested result, times the ten results that recall@10 counts. */
const TOP = 10;

/** A measured configuration of compact vectors that commands can create, and the names that they use. */
export interface Deployment {
  readonly collection: string;
  readonly vectorName: string | undefined;
  readonly encoderFile: string;
  readonly target: string;
  readonly row: {
    readonly dim: number;
    readonly datatype: StorageKind;
    readonly oversampling: number;
    readonly layout: Layout | null;
    /** Links of each point in the graph, if they are not those of the collection. */
    readonly hnswM?: number | undefined;
  };
}

/** Returns the name for the target of a configuration, as long as a name may be. */
export function targetNameOf(collection: string, { dim, datatype, hnswM }: Deployment['row']): string {
  return targetName(collection, `_${dim}_${datatype}${hnswM === undefined ? '' : `_m${hnswM}`}`);
}

/** Returns the command that trains the encoder. @param more flags that say how to train */
export function trainingLine(deployment: Deployment, more: Flags): ShellCommand {
  const { collection, encoderFile, row } = deployment;
  return {
    command: ['train'],
    names: [collection],
    flags: [
      ...vectorFlag(deployment),
      ['--dim', row.dim],
      ...more,
      ...(dependsOnRotation(row.datatype) ? [['--for', row.datatype] as const] : []),
      ['--out', encoderFile],
    ],
  };
}

/** Returns the command that copies the collection. */
export function migrationLine(deployment: Deployment): ShellCommand {
  const { collection, encoderFile, target, row } = deployment;
  const { datatype, quantization } = storageOf(row.datatype);
  return {
    command: ['migrate', 'start'],
    names: [collection, target],
    flags: [
      ['--encoder', encoderFile],
      ['--layout', row.layout ?? 'compact'],
      ...vectorFlag(deployment),
      ['--datatype', datatype],
      ['--quantization', quantization],
      ...(row.hnswM === undefined ? [] : [['--hnsw-m', row.hnswM] as const]),
    ],
  };
}

/** Returns the command that compares the target with the collection, as clients will search it. */
export function evaluationLine(
  { collection, encoderFile, target, row }: Deployment,
  more: Flags,
): ShellCommand {
  return {
    command: ['evaluate'],
    names: [collection, target],
    flags: [['--encoder', encoderFile], ...rescoreFlag(row), ...more],
  };
}

/** Returns the command that sends one query to the target. */
export function searchLine({ encoderFile, target, row }: Deployment): ShellCommand {
  return {
    command: ['search'],
    names: [target],
    flags: [['--encoder', encoderFile], ['--query', 'q.json'], ['--limit', TOP], ...rescoreFlag(row)],
  };
}

/** Returns the command that starts the proxy. */
export function servingLine({ collection, encoderFile, target, row }: Deployment): ShellCommand {
  return {
    command: ['serve'],
    flags: [
      ['--collection', collection],
      ['--target', target],
      ['--encoder', encoderFile],
      ...(row.oversampling > 1 ? [['--oversampling', row.oversampling] as const] : []),
    ],
  };
}

function vectorFlag({ vectorName }: Deployment): Flags {
  return vectorName === undefined ? [] : [['--vector', vectorName]];
}

function rescoreFlag({ oversampling }: Deployment['row']): Flags {
  return oversampling > 1 ? [['--rescore', TOP * oversampling]] : [];
}
