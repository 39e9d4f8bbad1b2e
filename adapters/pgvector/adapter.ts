import type { Adapter } from '../../src/store/adapter.js';

/** PostgreSQL with pgvector. The password comes from the environment, or from the file of passwords that psql reads. */
export const PGVECTOR: Adapter = {
  name: 'pgvector',
  schemes: ['postgres', 'postgresql'],
  addressVariable: 'DATABASE_URL',
  migratesInPlace: true,
  settings: [
    {
      name: 'keyColumns',
      env: 'QDRANT_TLDR_KEY_COLUMNS',
      doc: 'PostgreSQL: columns that identify a row of a view or of a table without a primary key, such as id or tenant,id',
      value: 'columns',
      isAddress: false,
    },
    {
      name: 'vectorDistance',
      env: 'QDRANT_TLDR_VECTOR_DISTANCE',
      doc: 'PostgreSQL: cosine, dot, euclid or manhattan; empty: as the index of the column, or cosine without an index',
      value: 'distance',
      isAddress: false,
    },
  ],
  encoderScript: async (file, names) => (await import('./sql/encoder-script.js')).encoderScript(file, names),
  fullFormSteps: async (form) => (await import('./plan/full-form-steps.js')).fullFormSteps(form),
  demo: {
    embedded: 'PostgreSQL in this process (PGlite)',
    start: async () => (await import('./embedded/start.js')).startEmbeddedPostgres(),
    open: async (options) => {
      const [{ openConnections, storeOver }, { PgvectorDemo }] = await Promise.all([
        import('./open.js'),
        import('./demo/database.js'),
      ]);
      const connections = await openConnections(options);
      return new PgvectorDemo(connections, storeOver(connections, {}));
    },
  },
  open: async (options) => (await import('./open.js')).openPgvector(options),
};
