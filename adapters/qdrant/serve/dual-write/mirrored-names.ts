import type { Aliases, MirroredFacts } from '../../../../src/store/write-interceptor.js';
import { Refusal } from '../rules.js';

/** Returns the refusal of a change that is not mirrored. Only points and payload indexes are. */
export function notMirrored(what: string): Refusal {
  return new Refusal(
    400,
    `Bad request: ${what} is not supported while the collection is migrated: points and payload indexes can be changed`,
  );
}

/** Refuses writes to a migration's target, which is filled only from its source. @throws Refusal */
export function refuseWriteToTarget(name: string, collections: readonly MirroredFacts[]): void {
  const mirrored = collections.find(({ target }) => target === name);
  if (mirrored !== undefined)
    throw new Refusal(
      400,
      `Bad request: \`${name}\` is filled by a migration: write to \`${mirrored.name}\``,
    );
}

/**
 * Returns the mirrored collection whose source a name reaches; null if it reaches neither source nor target.
 * @throws Refusal for a name that reaches the target, or that should reach the source but does not
 */
export function mirroredByName<Mirrored extends MirroredFacts>(
  name: string,
  collections: readonly Mirrored[],
  aliases: Aliases,
): Mirrored | null {
  refuseWriteToTarget(name, collections);
  const collection = aliases.get(name) ?? name;
  const filled = collections.find(({ target }) => target === collection);
  if (filled !== undefined)
    throw new Refusal(
      400,
      `Bad request: the alias \`${name}\` leads to \`${collection}\`, which is filled by a migration: write to \`${filled.source}\``,
    );
  const mirrored = collections.find(({ source }) => source === collection);
  const hidden = (mirrored ?? collections.find(({ source }) => source === name))?.source;
  if (hidden !== undefined && aliases.has(hidden))
    throw new Refusal(
      400,
      `Bad request: the alias \`${hidden}\` hides the collection of that name, which is being migrated: remove the alias first`,
    );
  const moved = mirrored === undefined ? collections.find((one) => one.name === name) : undefined;
  if (moved !== undefined)
    throw new Refusal(
      400,
      `Bad request: \`${name}\` no longer leads to \`${moved.source}\`, which is being migrated: point the alias at it again, or end the migration`,
    );
  return mirrored ?? null;
}

/** Returns every name that reaches the source or the target of a mirrored collection. */
export function mirroredNames(collections: readonly MirroredFacts[], aliases: Aliases): ReadonlySet<string> {
  const own = collections.flatMap(({ name, source, target }) => [name, source, target]);
  const reaching = [...aliases].filter(([, collection]) =>
    collections.some(({ source, target }) => collection === source || collection === target),
  );
  return new Set([...own, ...reaching.map(([alias]) => alias)]);
}
