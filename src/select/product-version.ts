/** The version in encoder files. A test checks that it equals package.json's. */
export const VERSION = '0.1.0';
export const CREATED_BY = `qdrant-tldr ${VERSION}`;
