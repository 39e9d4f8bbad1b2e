/** Longest name of a collection, which is also the name of a folder on the server. */
export const NAME_BYTES_MAX = 255;

/** Holds the migration states, one point without vectors for each migration. It holds no user data. */
export const STATE_COLLECTION = 'qdrant-tldr-migrations';
