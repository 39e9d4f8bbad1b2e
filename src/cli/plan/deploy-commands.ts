import { dependsOnRotation } from '../../evaluate/stored-codes.js';
import { storageOf } from '../../plan/sizing-row.js';
import type { Layout, StorageKind } from '../../store/collection.js';
import { besideLine, rescoreFlag, TOP, type MadeCollection } from '../console/next-commands.js';
import type { ShellCommand } from '../console/shell-command.js';
import { targetName } from '../console/target-name.js';

type Flags = ShellCommand['flags'];

/** A measured configuration of compact vectors that commands can create, and the names that they use. */
export interface Deployment {
  readonly collection: string;
  readonly vectorName: string | undefined;
  readonly encoderFile: string;
  /** The collection itself, if compact vectors stand beside the full ones. */
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

/** Returns the command that copies the collection, or writes compact vectors beside its full ones. */
export function migrationLine(deployment: Deployment): ShellCommand {
  const { collection, encoderFile, target, row } = deployment;
  const { datatype, quantization } = storageOf(row.datatype);
  if (target === collection)
    return besideLine(collectionMadeBy(deployment), [
      ['--datatype', datatype],
      ...(row.hnswM === undefined ? [] : [['--hnsw-m', row.hnswM] as const]),
    ]);
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

/** Returns the command that sends one query to the target. */
export function searchLine(deployment: Deployment): ShellCommand {
  const { encoderFile, target } = deployment;
  return {
    command: ['search'],
    names: [target],
    flags: [
      ['--encoder', encoderFile],
      ['--query', 'q.json'],
      ['--limit', TOP],
      ...rescoreFlag(collectionMadeBy(deployment)),
    ],
  };
}

/** Returns the collection that a deployment makes, with what its other commands need. */
export function collectionMadeBy(deployment: Deployment): MadeCollection {
  const { collection, vectorName, encoderFile, target, row } = deployment;
  return { source: collection, target, encoderFile, vectorName, oversampling: row.oversampling };
}

function vectorFlag({ vectorName }: Deployment): Flags {
  return vectorName === undefined ? [] : [['--vector', vectorName]];
}
