/** Version of this package, also written into encoder files. A test checks that it equals the one in package.json. */
export const VERSION = '0.1.0';
export const CREATED_BY = `qdrant-tldr ${VERSION}`;
