const PREFIX = /^QDRANT_TLDR_/;
/** Variables of the server's address and key that other tools use too. */
const OWN: readonly string[] = ['QDRANT_URL', 'QDRANT_API_KEY', 'DATABASE_URL', 'PGPASSWORD', 'PGPASSFILE'];

/**
 * Returns the environment for a user's hook command: the current one, without this tool's settings and
 * without keys.
 */
export function hookEnvironment(
  apiKey: string | undefined,
  environment: Readonly<Record<string, string | undefined>> = process.env,
): Record<string, string> {
  const kept: Record<string, string> = {};
  for (const [name, value] of Object.entries(environment)) {
    const holdsKey = apiKey !== undefined && apiKey !== '' && value?.includes(apiKey) === true;
    if (value !== undefined && !PREFIX.test(name) && !OWN.includes(name) && !holdsKey) kept[name] = value;
  }
  return kept;
}
