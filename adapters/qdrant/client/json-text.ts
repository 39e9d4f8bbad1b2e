/** Node 22 and newer keep the text of integers beyond 2^53. The official client turns these into bigints. */
interface RawJson {
  rawJSON(text: string): unknown;
}

function hasRawJson(json: object): json is RawJson {
  return 'rawJSON' in json;
}

/** Returns the JSON text of a value that the official client takes or returns. Bigints become numbers. */
export function toText(value: unknown): string {
  const json: object = JSON;
  if (!hasRawJson(json)) return JSON.stringify(value);
  return JSON.stringify(value, (_key, one: unknown) =>
    typeof one === 'bigint' ? json.rawJSON(String(one)) : one,
  );
}

/**
 * Parses JSON text as the official client does: integers beyond 2^53 become bigints if Node keeps their text.
 */
export function fromText(text: string): unknown {
  if (!hasRawJson(JSON)) return JSON.parse(text);
  return JSON.parse(text, (...[, value, context]: readonly unknown[]) => {
    if (!Number.isInteger(value) || Number.isSafeInteger(value)) return value;
    const source: unknown =
      typeof context === 'object' && context !== null ? Reflect.get(context, 'source') : null;
    return typeof source === 'string' && /^-?\d+$/.test(source) ? BigInt(source) : value;
  });
}
