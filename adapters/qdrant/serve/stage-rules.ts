import type { ServedCollection } from '../../../src/store/served.js';
import { Refusal } from './rules.js';

/** Decides what becomes of a stage of a query, for both transports. */

/** The place of a stage in its request. */
export interface StagePlace {
  /** 0 for the request itself, 1 for its prefetches, ... */
  readonly depth: number;
  /** Whether the request asks for groups. */
  readonly grouped: boolean;
  /** Where the stage's results go: into a fusion by the request itself, or into any other stage. */
  readonly into: 'fusion' | 'other' | 'unknown';
}

/** The settings of a search with diversity (MMR). */
export interface Diversity {
  readonly diversity: number | null;
  readonly candidatesLimit: number | null;
}

/** What decides the treatment of a query stage or a legacy search. Null for what the client leaves out. */
export interface StageFacts {
  readonly place: StagePlace;
  /** The searched vector by the server's name; '' if none is named. */
  readonly using: string;
  /** `similarity`: compares with vectors or ids (`nearest`, `recommend`, ...). `none`: has no query. */
  readonly query: 'similarity' | 'other' | 'none';
  readonly diversity: Diversity | null;
  readonly hasPrefetch: boolean;
  /** `params.exact`. */
  readonly exact: boolean;
  readonly hasScoreThreshold: boolean;
  readonly limit: number | null;
  readonly offset: number | null;
}

/** The stage becomes a search of the compact vectors whose results are rescored by the full ones. */
export interface WrapTreatment {
  readonly kind: 'wrap';
  /** The number of first-stage results. */
  readonly candidates: number;
  /** The stage's limit as a nearest search, if it has to lose its diversity; otherwise null. */
  readonly plainLimit: number | null;
}

/**
 * `leave`: not in the reduced space, or answered by the full vectors. `project`: each vector is replaced.
 */
export type Treatment = { readonly kind: 'leave' } | { readonly kind: 'project' } | WrapTreatment;

/** The server's limits if a request names none. */
const DEFAULT_LIMIT = 10;
const DEFAULT_GROUPS = 10;
export const PREFETCH_DEPTH_MAX = 64;
const LEAVE: Treatment = { kind: 'leave' };

/** @throws Refusal */
export function treatStage(stage: StageFacts, served: ServedCollection): Treatment {
  const { place, exact, diversity } = stage;
  // The server does not check prefetches of a request for groups.
  if (exact && !(place.grouped && place.depth > 0)) refuseExact(served);
  if (stage.query !== 'similarity' || stage.using !== served.vector) return LEAVE;
  if (served.layout === 'compact') {
    if (stage.hasScoreThreshold && served.scoreThreshold === 'refuse')
      throw new Refusal(
        400,
        `Bad request: score_threshold is not supported on reduced vector "${served.vector}": scores of ${served.outputDim}-d vectors differ from those of ${served.inputDim}-d ones`,
      );
    return { kind: 'project' };
  }
  // The server limits the depth. Without another level, the full vectors answer, if more slowly.
  if (stage.hasPrefetch || exact || place.depth >= PREFETCH_DEPTH_MAX) return LEAVE;
  const candidates = candidatesFor(stage, served);
  if (candidates === null) return LEAVE;
  if (diversity === null || place.depth === 0) return { kind: 'wrap', candidates, plainLimit: null };
  const plainLimit = limitOfDiverseLeaf(diversity, stage.limit ?? DEFAULT_LIMIT, place);
  return plainLimit === null ? LEAVE : { kind: 'wrap', candidates, plainLimit };
}

/** @throws Refusal in the server's words when clients may not count or search exactly */
export function refuseExact({ allowsExact }: ServedCollection): void {
  if (!allowsExact) throw new Refusal(400, 'Bad request: Exact search disabled!. Help: Set exact=false.');
}

/**
 * Returns the number of first-stage results for a wrapped stage: at least as many as it may return. For
 * groups, the server multiplies both the stage's results and the prefetch's limit by the group size. Returns
 * null if a prefetch may not return so many. Then only the full vectors can answer. The server refuses a limit
 * of zero, before it looks anything up.
 */
function candidatesFor(
  { place, diversity, limit: given, offset }: StageFacts,
  { candidatesMax, oversampling }: ServedCollection,
): number | null {
  const limit = given ?? (place.grouped && place.depth === 0 ? DEFAULT_GROUPS : DEFAULT_LIMIT);
  const wanted = Math.max(limit, diversity?.candidatesLimit ?? 0) + (offset ?? 0);
  if (!(limit >= 1 && wanted <= candidatesMax)) return null;
  return Math.min(Math.ceil(wanted * oversampling), candidatesMax, Number.MAX_SAFE_INTEGER);
}

/** The largest `candidates_limit` that the server accepts. */
const MMR_CANDIDATES_MAX = 16_384;

/**
 * Returns the limit with which a plain nearest search equals MMR in a prefetch without prefetches of its own.
 * The server does not diversify there: it returns the nearest points, as many as MMR would choose from. A
 * fusion by the request itself reads the first `limit` of them. If such a stage were wrapped, the server
 * would diversify. Returns null if no limit is equivalent: the stage must then stay unchanged.
 */
function limitOfDiverseLeaf(
  { diversity, candidatesLimit }: Diversity,
  limit: number,
  { grouped, into }: StagePlace,
): number | null {
  const candidates = candidatesLimit ?? limit;
  // The server refuses other settings, and its error names their place.
  if (diversity !== null && !(diversity >= 0 && diversity <= 1)) return null;
  if (!(candidates >= 1 && candidates <= MMR_CANDIDATES_MAX && limit >= 1)) return null;
  // For groups, the server multiplies limits, but not the number of points that MMR chooses from.
  if (grouped || into === 'unknown') return null;
  if (into === 'other') return candidates;
  // Each shard returns its own points. Fewer than the limit from each may be more in total.
  return candidates >= limit ? limit : null;
}
