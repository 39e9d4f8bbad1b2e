/** Prefix of the names of temporary (scratch) collections; no other collection has it. */
export const SCRATCH_PREFIX = 'tldr-plan-';

/** Metadata key that marks a temporary collection. */
export const SCRATCH_METADATA = 'tldr-plan';
