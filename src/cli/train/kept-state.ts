import { createHash } from 'node:crypto';
import { rename, rm } from 'node:fs/promises';
import { isTldrError, messageOf } from '../../core/errors.js';
import { destinationOf, isTaken } from '../../core/write-file.js';
import type { ConsoleRun } from '../console/command-output.js';
import { readCheckpoint, writeCheckpoint, type TrainCheckpoint } from './checkpoint.js';

/** The flags that decide what is trained, and the others, which do not. */
type Flags = Readonly<Record<string, unknown>> & { readonly out: string };

const WITHOUT_EFFECT: readonly string[] = [
  'colorBy',
  'checkpoint',
  'dryRun',
  'force',
  'json',
  'logLevel',
  'out',
  'report',
  'verbose',
  'yes',
];

/** What `train` keeps without being asked, so that the same command can go on: a checkpoint beside the encoder. */
export class KeptState {
  private constructor(
    /** Null if the file's name is taken by something else, or the encoder is no file; then nothing is kept. */
    private path: string | null,
    private readonly request: string,
    /** The state to go on from; null to begin. */
    public checkpoint: TrainCheckpoint | null,
    private readonly run: Pick<ConsoleRun, 'say' | 'log'>,
  ) {}

  /** Reads what an interrupted run of the same command left. Without `isOn`, nothing is read or kept. */
  static async open(
    collection: string | undefined,
    flags: Flags,
    { run, isOn }: { readonly run: ConsoleRun; readonly isOn: boolean },
  ): Promise<KeptState> {
    const request = requestOf(collection, flags);
    if (!isOn || (await destinationOf(flags.out)).isDevice) return new KeptState(null, request, null, run);
    const path = keptPath(flags.out);
    const state = new KeptState(path, request, null, run);
    try {
      const found = await readCheckpoint(path, undefined, run.signal);
      if (found === null) return state;
      if (found.request === request) {
        run.say(`continues from ${path}, which an interrupted run of this command left`);
        state.checkpoint = found;
      } else await state.setAside('belongs to another command');
    } catch (error) {
      if (isTldrError(error, 'ABORTED')) throw error;
      run.log('warn', `no checkpoint is kept: ${messageOf(error)}`);
      state.path = null;
    }
    return state;
  }

  /** Saves a state. If that fails, the training goes on without. */
  async save(checkpoint: TrainCheckpoint): Promise<void> {
    const { path, request } = this;
    if (path === null) return;
    try {
      await writeCheckpoint(path, { ...checkpoint, request });
    } catch (error) {
      this.run.log('warn', `no checkpoint is kept: ${messageOf(error)}`);
      this.path = null;
    }
  }

  /** Whether an interrupted run can go on. */
  get isKept(): boolean {
    return this.path !== null;
  }

  /** Moves a state that does not belong to this run out of the way, if nothing is lost by it. */
  async setAside(why: string): Promise<void> {
    const { path } = this;
    this.checkpoint = null;
    if (path === null) return;
    const aside = `${path}.old`;
    if (await isTaken(aside)) {
      this.path = null;
      this.run.log('warn', `${path} ${why}, and ${aside} exists: training begins, and no checkpoint is kept`);
      return;
    }
    await rename(path, aside);
    this.run.log('warn', `${path} ${why}: it is now ${aside}, and training begins`);
  }

  /** Removes the state of a training that is done. */
  async remove(): Promise<void> {
    if (this.path !== null) await rm(this.path, { force: true });
  }
}

/** Returns the file in which the state of a training stands without --checkpoint. */
export function keptPath(out: string): string {
  return `${out}.checkpoint`;
}

function requestOf(collection: string | undefined, flags: Flags): string {
  const deciding = Object.entries(flags)
    .filter(([name, value]) => value !== undefined && !WITHOUT_EFFECT.includes(name))
    .sort(([a], [b]) => (a < b ? -1 : 1));
  return createHash('sha256')
    .update(JSON.stringify([collection, deciding]))
    .digest('hex');
}
