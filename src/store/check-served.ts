import { OVERSAMPLING } from './defaults.js';
import { TldrError } from '../core/errors.js';
import type { ServedCollection, ServedFacts, VectorProjector } from './served.js';
import { componentBytesOf } from './vector-number-format.js';
import { targetDescription } from './target-description.js';
import type { CollectionSpec, Layout } from './collection.js';

/** How to serve one collection. Options that are absent follow from the collection itself. */
export interface ServeOptions {
  /** Layout that the collection must have. If absent: the layout that it was migrated to. */
  readonly layout?: Layout | undefined;
  readonly oversampling?: number | undefined;
  readonly scoreThreshold?: ServedFacts['scoreThreshold'] | undefined;
  readonly vectorAnswers?: ServedFacts['vectorAnswers'] | undefined;
}

export interface ServeRequest {
  /** The name that clients use. */
  readonly name: string;
  /** The target as the store describes it. */
  readonly spec: CollectionSpec;
  /** Every alias of the store, with the name of its collection. */
  readonly aliases: ReadonlyMap<string, string>;
  readonly projector: VectorProjector;
  /** Most first-stage results that the server allows in one request. */
  readonly candidatesMax: number;
  /** False if clients' exact searches are refused although the target itself allows them. */
  readonly allowsExact: boolean;
  readonly options?: ServeOptions;
}

/**
 * Returns how a collection is served, after checking that it fits its encoder.
 * @throws INVALID_ARGUMENT when no migration made the collection, or an option is out of range
 * @throws MISMATCH when the encoder, the dimensions or the layout are not those of the collection
 */
export function checkServed(request: ServeRequest): ServedCollection {
  const { name, spec, aliases, projector, candidatesMax, allowsExact, options = {} } = request;
  const { oversampling = OVERSAMPLING, scoreThreshold = 'pass', vectorAnswers = 'refuse' } = options;
  const description = targetDescription(spec);
  if (description === null) {
    throw new TldrError(
      'INVALID_ARGUMENT',
      `${spec.name} is not the target of a migration: serve a collection that a migration made`,
    );
  }
  if (!(oversampling >= 1 && oversampling <= 1000)) {
    throw new TldrError('INVALID_ARGUMENT', `oversampling ${oversampling}: expected a number from 1 to 1000`);
  }
  checkChoice('scoreThreshold', scoreThreshold, ['pass', 'refuse']);
  checkChoice('vectorAnswers', vectorAnswers, ['refuse', 'compact']);
  const { layout, vector, compact } = description;
  const compactSpec = spec.vectors.find((one) => one.name === compact);
  const fullSpec = spec.vectors.find((one) => one.name === vector);
  const pairs: readonly (readonly [string, string | number | undefined, string | number])[] = [
    ['encoder', description.encoder.slice(0, 16), projector.fingerprint.slice(0, 16)],
    ['dimension of full vectors', description.inputDim, projector.inputDim],
    ['dimension of compact vectors', description.outputDim, projector.outputDim],
    ['dimension of compact vectors', compactSpec?.dim, projector.outputDim],
    ...(layout === 'two-stage'
      ? ([['dimension of full vectors', fullSpec?.dim, projector.inputDim]] as const)
      : []),
    ['layout', layout, options.layout ?? layout],
  ];
  for (const [what, found, wanted] of pairs) {
    if (found !== wanted) {
      throw new TldrError(
        'MISMATCH',
        `collection ${spec.name}: ${what} is ${found ?? 'missing'}, expected ${wanted}: serve it with the encoder and layout it was migrated with`,
      );
    }
  }
  const all = [...spec.vectors.map((one) => one.name), ...spec.otherVectors];
  const others = [...aliases].filter(([alias, to]) => to === spec.name && alias !== name);
  return {
    names: [name, ...others.map(([alias]) => alias)],
    target: spec.name,
    layout,
    vector,
    compact,
    distance: distanceOf(description.distance),
    inputDim: description.inputDim,
    outputDim: description.outputDim,
    componentBytes: componentBytesOf(spec, compact),
    visibleVectors: layout === 'two-stage' ? all.filter((one) => one !== compact) : all,
    oversampling,
    candidatesMax,
    allowsExact,
    scoreThreshold,
    vectorAnswers,
    projector,
  };
}

/** JavaScript callers have no type check. @throws INVALID_ARGUMENT when the value is not a choice */
function checkChoice(name: string, value: string, choices: readonly string[]): void {
  if (!choices.includes(value))
    throw new TldrError('INVALID_ARGUMENT', `${name} ${value}: expected ${choices.join(' or ')}`);
}

function distanceOf(name: string): ServedFacts['distance'] {
  if (name === 'cosine' || name === 'dot' || name === 'euclid' || name === 'manhattan') return name;
  throw new TldrError('MISMATCH', `distance ${name} is not known to this version`);
}
