const PREFIX = /^QDRANT_TLDR_/;
/** The address and the key of the server, by the names that people have set already. */
const OWN: readonly string[] = ['QDRANT_URL', 'QDRANT_API_KEY'];

/** The environment for a command that a person asked to be run: as it is, without this tool's settings and keys. */
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
