/** Points that cannot be brought to the target as they are. */
export interface SetAside {
  readonly points: number;
  /** Why the first of them cannot; names it. */
  readonly why: string;
}

/** Returns what keeps clients from the target, for people. */
export function setAsideText({ points, why }: SetAside): string {
  return points === 1
    ? `1 point cannot be brought to the target: ${why}`
    : `${points} points cannot be brought to the target; the first: ${why}`;
}
