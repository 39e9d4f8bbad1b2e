import { TldrError } from '../core/errors.js';
import type { CollectionSpec } from '../store/collection.js';
import { canMeasure } from '../store/beside/scratch-store.js';
import { pickVector } from '../store/pick-vector.js';
import type { MemoryEstimate } from '../store/storage.js';
import { targetDescription } from '../store/target-description.js';
import { estimatedMemory } from './console/compact-memory.js';
import { diskText, ramText, type ConsoleRun } from './console/command-output.js';
import { nextCommand } from './console/next-commands.js';
import { sayRows } from './console/show-results.js';
import { withConsole, withSource } from './console/command-body.js';
import type { GlobalFlags } from './console/options.js';

export interface InspectFlags extends GlobalFlags {
  readonly dim?: number;
  readonly vector?: string;
}

/** Runs `inspect`. */
export function runInspect(collection: string, flags: InspectFlags): Promise<void> {
  return withConsole(flags, (run, config) =>
    withSource(config, run, async (store) => {
      const whole = await store.describe(collection);
      const spec = flags.vector === undefined ? whole : withOnly(whole, flags.vector);
      const points = await store.count(collection);
      const now = estimatedMemory(store, spec, { points });
      run.say(`${collection}: ${points.toLocaleString('en-US')} points`);
      const description = targetDescription(spec);
      if (description !== null) {
        run.say(
          `compact form of ${description.source}: ${description.inputDim} -> ${description.outputDim}, encoder ${description.encoder.slice(0, 16)}`,
        );
      }
      sayIrreducible(run, spec, flags.dim);
      const reduced = spec.vectors.flatMap((vector) => {
        const dim = flags.dim ?? Math.floor(vector.dim / 8);
        if (vector.multivector || dim < 1 || dim >= vector.dim) return [];
        const memory = estimatedMemory(store, spec, { points, reduced: { vector, dim } });
        return [{ vector: vector.name, dim, memory }];
      });
      sayRows(run, [['vector', 'dims', 'distance'], ...vectorRows(spec)]);
      const row = (name: string, memory: MemoryEstimate | null): string[] => [
        name,
        ramText(memory),
        diskText(memory),
      ];
      run.say('');
      sayRows(run, [
        ['estimate', 'RAM', 'disk (vectors)'],
        row('now', now),
        ...reduced.map(({ vector, dim, memory }) => row(`"${vector}" at ${dim} dims`, memory)),
      ]);
      const [first] = reduced;
      const ofVector =
        whole.vectors.length > 1 && first !== undefined ? [['--vector', first.vector] as const] : [];
      const names = [collection];
      const goal = ['--target', 'recall@10>=0.97'] as const;
      const plan = nextCommand(flags, { command: ['plan'], names, flags: [...ofVector, goal] });
      const size = ['--dim', first?.dim ?? 96] as const;
      const learn = [...ofVector, size, ['--out', 'enc.onnx']] as const;
      const train = nextCommand(flags, { command: ['train'], names, flags: learn });
      run.next(
        description === null
          ? [canMeasure(store) ? plan : train]
          : [
              nextCommand(flags, {
                command: ['migrate', 'status'],
                names: [description.source, collection],
                flags: [],
              }),
            ],
      );
      run.result({
        collection,
        points,
        vectors: spec.vectors,
        otherVectors: spec.otherVectors,
        now,
        reduced,
        compactOf: description,
      });
    }),
  );
}

/** Returns the spec with one of its vectors. @throws NOT_FOUND, UNSUPPORTED as `pickVector` */
function withOnly(spec: CollectionSpec, vector: string): CollectionSpec {
  return { ...spec, vectors: [pickVector(spec, vector)] };
}

/** Prints which vectors --dim does not reduce. @throws INVALID_ARGUMENT when it reduces none */
function sayIrreducible(run: ConsoleRun, spec: CollectionSpec, dim: number | undefined): void {
  if (dim === undefined) return;
  const dense = spec.vectors.filter(({ multivector }) => !multivector);
  const refused = dense.filter((vector) => dim < 1 || dim >= vector.dim);
  const lines = refused.map(
    (vector) => `"${vector.name}" has ${vector.dim} dimensions: --dim ${dim} is no reduction`,
  );
  if (dense.length > 0 && refused.length === dense.length) {
    throw new TldrError(
      'INVALID_ARGUMENT',
      `${lines.join('; ')}; expected 1 to ${Math.max(...dense.map((one) => one.dim)) - 1}`,
    );
  }
  for (const line of lines) run.say(line);
}

function vectorRows(spec: CollectionSpec): string[][] {
  return [
    ...spec.vectors.map(({ name, dim, distance, multivector }) => [
      `"${name}"`,
      String(dim),
      multivector ? `${distance}, multivector` : distance,
    ]),
    ...spec.otherVectors.map((name) => [`"${name}"`, '-', 'sparse']),
  ];
}
