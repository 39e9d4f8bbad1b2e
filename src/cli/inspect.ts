import { Command } from 'commander';
import { compactDistance } from '../core/distance.js';
import { TldrError } from '../core/errors.js';
import type { CollectionSpec } from '../store/collection.js';
import { isCopyTarget } from '../store/copy-target.js';
import type { MemoryEstimate } from '../store/storage.js';
import { targetDescription } from '../store/target-description.js';
import { diskText, ramText, table, type ConsoleRun } from './console/command-output.js';
import {
  wholeNumber,
  withConsole,
  withGlobalFlags,
  withSource,
  type GlobalFlags,
} from './console/options.js';

interface InspectFlags extends GlobalFlags {
  readonly dim?: number;
}

const HELP = `
Reads   the settings and the number of points of the collection
Writes  nothing

Examples:
  qdrant-tldr inspect docs
  qdrant-tldr inspect docs --dim 96

Memory is an estimate from dimensions, datatypes, quantisation and graph links.

Documentation: docs/cli.md`;

/** `inspect`: shows what a collection is and what it would take with fewer dimensions. */
export function inspectCommand(): Command {
  const command = new Command('inspect')
    .description('Show dimensions, distance, count and estimated memory of a collection, now and reduced.')
    .argument('<collection>', 'collection to show; it is only read')
    .option('--dim <n>', 'dimensions to compare with (default: an eighth)', wholeNumber)
    .action((collection: string, flags: InspectFlags) =>
      withConsole(flags, (run, config) =>
        withSource(config, run, async (store) => {
          const spec = await store.describe(collection);
          const points = await store.count(collection);
          const estimate = (of: CollectionSpec): MemoryEstimate | null =>
            store.storage?.estimate(of, points) ?? null;
          const now = estimate(spec);
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
            if (!isCopyTarget(store)) return [{ vector: vector.name, dim, memory: null }];
            const target = store.deriveTarget(spec, {
              name: `${collection}-compact`,
              layout: 'compact',
              vectorName: vector.name,
              compactName: vector.name,
              compactDim: dim,
              compactDistance: compactDistance(vector.distance),
              metadata: {},
            });
            return [{ vector: vector.name, dim, memory: estimate(target) }];
          });
          run.say(table([['vector', 'dims', 'distance'], ...vectorRows(spec)]));
          const row = (name: string, memory: MemoryEstimate | null): string[] => [
            name,
            ramText(memory),
            diskText(memory),
          ];
          run.say('');
          run.say(
            table([
              ['estimate', 'RAM', 'disk (vectors)'],
              row('now', now),
              ...reduced.map(({ vector, dim, memory }) => row(`"${vector}" at ${dim} dims`, memory)),
            ]),
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
      ),
    );
  command.addHelpText('after', HELP);
  return withGlobalFlags(command);
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
