import { parseArgs } from 'node:util';

/** What an option is by default (a number, a text, or false for a switch) and what it is for. */
type Described = readonly [number | string | false, string];

type ValueOf<Default> = Default extends number ? number : Default extends string ? string : boolean;

export type Options<Given extends Readonly<Record<string, Described>>> = {
  readonly [Name in keyof Given]: ValueOf<Given[Name][0]>;
};

/** Options that a script gives itself where it runs a part in another process: nothing to say of them. */
const OWN = '';

/**
 * The options of a bench, each as `--name=value`. `--help` says what they are and ends the process; one that is not
 * understood ends it with code 2, before something is measured that nobody asked for. Signals end it with all that it
 * started.
 */
export function optionsOf<const Given extends Readonly<Record<string, Described>>>(
  about: string,
  given: Given,
): Options<Given> {
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130));
  try {
    return read(about, given);
  } catch (error) {
    console.error(`${error instanceof Error ? error.message : String(error)}\n(--help says what there is)`);
    process.exit(2);
  }
}

function read<const Given extends Readonly<Record<string, Described>>>(
  about: string,
  given: Given,
): Options<Given> {
  const described = Object.entries<Described>(given);
  const { values } = parseArgs({
    options: Object.fromEntries([
      ['help', { type: 'boolean' as const }],
      ...described.map(
        ([name, [value]]) => [name, { type: value === false ? 'boolean' : 'string' } as const] as const,
      ),
    ]),
  });
  if (values['help'] === true) {
    const lines = described
      .filter(([, [, what]]) => what !== OWN)
      .map(([name, [value, what]]) => `  --${value === false ? name : `${name}=${value}`}`.padEnd(28) + what);
    console.log([about, ...lines].join('\n'));
    process.exit(0);
  }
  const entries = described.map(([name, [fallback]]) => {
    const value = values[name] ?? fallback;
    if (typeof fallback !== 'number') return [name, value] as const;
    const number = Number(value);
    if (!Number.isFinite(number) || String(value).trim() === '')
      throw new Error(`--${name}: expected a number, got ${JSON.stringify(value)}`);
    return [name, number] as const;
  });
  return Object.fromEntries(entries) as Options<Given>;
}
