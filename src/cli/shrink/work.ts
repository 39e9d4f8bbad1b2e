import { resolve } from 'node:path';
import { fileNamePart } from '../../core/bounded-name.js';
import { expectDefined } from '../../core/errors.js';
import type { Config } from '../../config/load.js';
import type { ProposalName } from '../../plan/proposals.js';
import type { Layout } from '../../store/collection.js';
import type { ScratchStore } from '../../store/beside/scratch-store.js';
import type { InPlaceCutOverRequest } from '../../store/in-place-target.js';
import type { VectorSource } from '../../store/vector-source.js';
import type { ConsoleRun } from '../console/command-output.js';
import type { GlobalFlags } from '../console/options.js';
import { nextCommand } from '../console/next-commands.js';
import type { ShellCommand } from '../console/shell-command.js';
import type { BeforeAndAfter } from '../page-parts/verdict-words.js';
import type { Deployment } from '../plan/deploy-commands.js';
import type { Course } from './course.js';
import { writeShrinkState, type Proposed, type ShrinkRequest, type ShrinkState } from './state.js';

/** Flags of `shrink`. */
export interface ShrinkFlags extends GlobalFlags {
  readonly choose?: ProposalName;
  readonly target?: string;
  readonly out?: string;
  readonly vector?: string;
  readonly layout: Layout;
  readonly queries?: string;
  readonly sample: number;
  readonly budget: number;
  readonly deterministic?: boolean;
  readonly switch?: string;
  readonly form?: InPlaceCutOverRequest['form'];
  readonly function?: string;
  readonly role?: string;
  readonly seed: number;
  readonly report?: string;
  readonly colorBy?: string;
  readonly textField?: string;
  readonly force?: boolean;
  readonly dryRun?: boolean;
}

/** The files of a run. */
export interface ShrinkFiles {
  readonly encoder: string;
  readonly state: string;
  readonly checkpoint: string;
}

/** Returns the files of a run: the encoder, and beside it how far the run and the training are. */
export function filesOf(collection: string, { out }: ShrinkFlags): ShrinkFiles {
  const encoder = out ?? `${fileNamePart(collection)}.onnx`;
  return { encoder, state: `${encoder}.shrink.json`, checkpoint: `${encoder}.checkpoint` };
}

/** What all steps of a run work with. */
export interface ShrinkWork {
  readonly collection: string;
  readonly flags: ShrinkFlags;
  readonly files: ShrinkFiles;
  readonly run: ConsoleRun;
  readonly config: Config;
  /** Reads the collection. */
  readonly store: VectorSource;
  /** Holds the temporary collection of the sizing. */
  readonly scratch: ScratchStore;
  readonly course: Course;
  readonly progress: ShrinkProgress;
}

/** How far a run is, in memory and in its file. */
export class ShrinkProgress {
  constructor(
    private readonly path: string,
    private current: ShrinkState,
  ) {}

  get state(): ShrinkState {
    return this.current;
  }

  /** Keeps what a step did before the next one begins. */
  async save(changes: Partial<ShrinkState>): Promise<void> {
    this.current = { ...this.current, ...changes };
    await writeShrinkState(this.path, this.current);
  }
}

/** Returns what the flags ask for. */
export function requestOf(
  collection: string,
  { vector, layout, target, queries, sample, seed, budget, deterministic = false }: ShrinkFlags,
  { endpoint }: Pick<VectorSource, 'endpoint'>,
): ShrinkRequest {
  return {
    collection,
    endpoint,
    vector: vector ?? null,
    layout,
    target: target ?? null,
    queries: queries === undefined ? null : resolve(queries),
    sample,
    seed,
    budget,
    ...(deterministic ? { deterministic } : {}),
  };
}

/** Returns the proposal that was chosen. */
export function chosenOf({ sizing, choice }: ShrinkState): Proposed {
  return expectDefined(
    sizing?.proposals.find(({ name }) => name === choice),
    'the chosen proposal',
  );
}

/** Returns the memory before and after as the sizing measured it, for all points; null if it did not measure today's. */
export function measuredRamOf(state: ShrinkState): BeforeAndAfter | null {
  const today = state.sizing?.today ?? null;
  if (today === null) return null;
  return { before: today.ramBytes, after: chosenOf(state).figures.ramBytes };
}

/** Returns what the commands of the chosen proposal are made from. */
export function deploymentOf({ collection, flags, files, course, progress }: ShrinkWork): Deployment {
  const target = course.kind === 'in-place' ? collection : progress.state.target;
  return {
    collection,
    vectorName: flags.vector,
    encoderFile: files.encoder,
    target: expectDefined(target, 'the name of the target'),
    row: chosenOf(progress.state).row,
  };
}

/** The steps, in their order. */
const STEPS = ['inspect', 'measure', 'choose', 'train', 'migrate', 'evaluate', 'connect'] as const;
/** The name of a step. */
type StepName = (typeof STEPS)[number];

/** How messages name the temporary collection. */
export function scratchWords({ course }: Pick<ShrinkWork, 'course'>): string {
  return course.kind === 'in-place' ? 'a temporary schema' : 'a temporary collection';
}

/** Prints the heading of a step, and the command that does the same without the guide. */
export function sayStep(
  { run, flags }: Pick<ShrinkWork, 'run' | 'flags'>,
  name: StepName,
  { title, line }: { readonly title: string; readonly line?: ShellCommand },
): void {
  run.say('');
  run.say(`step ${STEPS.indexOf(name) + 1} of ${STEPS.length}: ${name}: ${title}`);
  if (line !== undefined) run.say(`  $ ${nextCommand(flags, line)}`);
}

/** Stands before the lines of a command that runs as a step. */
const INDENT = '  ';

/** Share of a copy's time that the evaluation takes, roughly: it reads and searches the same points. */
const EVALUATION_PER_COPY = 0.25;

/** Returns the expected time of the steps after this one; null if it is not known yet. */
function secondsAfter({ flags, progress }: ShrinkWork, name: StepName): number | null {
  const { choice, sizing } = progress.state;
  if (choice === null || sizing === null) return null;
  const { seconds } = chosenOf(progress.state);
  if (seconds === null) return null;
  const copy = seconds - flags.budget;
  const evaluation = copy * EVALUATION_PER_COPY;
  if (name === 'train') return copy + evaluation;
  return name === 'migrate' ? evaluation : 0;
}

/** Returns the console of the run, on which a command's progress counts as this step. */
export function progressConsole(work: ShrinkWork, name: StepName): ConsoleRun {
  const { run } = work;
  const step = STEPS.indexOf(name) + 1;
  return {
    ...run,
    expectStages: (stages) =>
      run.expectStages({
        ...stages,
        within: { step, of: STEPS.length, secondsAfter: secondsAfter(work, name) },
      }),
  };
}

/** Returns the console for a command that runs as a step: it neither asks nor prints its own result. */
export function stepConsole(
  work: ShrinkWork,
  name: StepName,
  { quiet = false }: { readonly quiet?: boolean } = {},
): ConsoleRun {
  const { run } = work;
  return {
    ...progressConsole(work, name),
    columns: run.columns - INDENT.length,
    next: () => undefined,
    confirm: () => Promise.resolve(),
    result: () => undefined,
    say: quiet ? () => undefined : (line = '') => run.say(line === '' ? '' : INDENT + line),
    sayCode: quiet ? () => undefined : (line) => run.sayCode(INDENT + line),
  };
}
