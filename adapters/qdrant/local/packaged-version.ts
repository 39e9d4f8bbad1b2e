/** The version of Qdrant in the package that `startLocalQdrant` starts. */
export const PACKAGED_VERSION = '1.16.3';
