import { GenericContainer, Wait } from 'testcontainers';

const PORT = 5432;

/** The image of PostgreSQL with pgvector, which docker-compose.yml has too. */
export const POSTGRES_IMAGE = `pgvector/pgvector:${process.env['PGVECTOR_VERSION'] ?? '0.8.1-pg17'}`;

/** Starts a server in a container. */
export async function startPostgresContainer(): Promise<{
  readonly url: string;
  readonly stop: () => Promise<void>;
}> {
  const container = await new GenericContainer(POSTGRES_IMAGE)
    .withEnvironment({ POSTGRES_HOST_AUTH_METHOD: 'trust' })
    .withExposedPorts(PORT)
    // The image first starts a server that only sets up the database.
    .withWaitStrategy(Wait.forLogMessage(/ready to accept connections/, 2))
    .start();
  const url = `postgres://postgres@${container.getHost()}:${container.getMappedPort(PORT)}/postgres`;
  return {
    url,
    stop: async () => {
      await container.stop();
    },
  };
}
