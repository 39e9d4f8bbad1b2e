/** Points that cannot be brought to the target and are set aside. */
export interface SetAside {
  readonly points: number;
  /** The error of the first of them, which names it. */
  readonly why: string;
}

/** Returns, for people, the reason that clients cannot be sent to the target. */
export function setAsideText({ points, why }: SetAside): string {
  return points === 1
    ? `1 point cannot be brought to the target: ${why}`
    : `${points} points cannot be brought to the target; the first: ${why}`;
}
