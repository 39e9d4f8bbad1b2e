/** A label to be placed near a point. `texts` are possible texts, from the longest to the shortest. */
export interface LabelWish {
  readonly x: number;
  readonly y: number;
  readonly texts: readonly string[];
  /** Pixels that the label stays further away from its point, because the mark there is larger. */
  readonly distance?: number;
  /** The label is shown in any case: if no place is free, at the place where it covers the fewest obstacles. */
  readonly isRequired?: boolean;
}

/** The place of a label: the offset from its point, and the part of the text at that place. */
export interface PlacedLabel {
  readonly wish: number;
  readonly text: string;
  readonly dx: number;
  readonly dy: number;
  readonly anchor: 'start' | 'middle' | 'end';
}

interface Box {
  readonly left: number;
  readonly right: number;
  readonly top: number;
  readonly bottom: number;
}

/** Width of a character and height of a line, in pixels, of the chart's text in a wide system font. */
const CHARACTER = 7.4;
const LINE = 15;
/** Vertical distances from the point to a text above or below it, and the gap to a text at its side. */
const RISES = [-18, 18, -32, 32] as const;
const GAP = 14;

/** Distance between the obstacles that represent a line when labels are placed. */
const LINE_SAMPLE_PIXELS = 8;

/**
 * Places labels greedily, in their order, so that none leaves the frame, overlaps another label or covers an
 * obstacle. A label that fits nowhere is omitted, unless it is required.
 * @param obstacles - x and y of marks that must stay visible, in pixels
 */
export function placeLabels(
  wishes: readonly LabelWish[],
  frame: Box,
  obstacles: readonly (readonly [number, number])[],
): PlacedLabel[] {
  const taken: Box[] = obstacles.map(([x, y]) => ({ left: x - 3, right: x + 3, top: y - 3, bottom: y + 3 }));
  const placed: PlacedLabel[] = [];
  for (const [wish, wished] of wishes.entries()) {
    const places = placesFor(wished, frame);
    const free = places.find(({ box }) => coveredBy(box, taken) === 0);
    const place = free ?? (wished.isRequired === true ? leastCovering(places, taken) : undefined);
    if (place === undefined) continue;
    const { box, ...label } = place;
    taken.push(box);
    placed.push({ wish, ...label });
  }
  return placed;
}

type Place = Omit<PlacedLabel, 'wish'> & { readonly box: Box };

/** All places of a label within the frame, those of its longest text first. */
function placesFor(wish: LabelWish, frame: Box): Place[] {
  return wish.texts.flatMap((text) =>
    spotsFor(text, wish.distance ?? 0)
      .map((spot) => ({ ...spot, text, box: moveBox(spot.box, wish) }))
      .filter(({ box }) => isInside(box, frame)),
  );
}

/** The place that covers the fewest boxes; of several, the one with the longest text. */
function leastCovering(places: readonly Place[], taken: readonly Box[]): Place | undefined {
  const [least] = places
    .map((place) => ({ place, covered: coveredBy(place.box, taken) }))
    .sort((a, b) => a.covered - b.covered);
  return least?.place;
}

function coveredBy(box: Box, taken: readonly Box[]): number {
  return taken.filter((other) => overlaps(box, other)).length;
}

/** Possible places for a text near a point at the origin: above and below, then right and left. */
function spotsFor(
  text: string,
  distance: number,
): (Omit<PlacedLabel, 'wish' | 'text'> & { readonly box: Box })[] {
  const width = text.length * CHARACTER;
  const spots = [
    ...RISES.flatMap((rise) => {
      const dy = rise + Math.sign(rise) * distance;
      return (['middle', 'start', 'end'] as const).map((anchor) => ({ dx: 0, dy, anchor }));
    }),
    { dx: GAP + distance, dy: 0, anchor: 'start' as const },
    { dx: -GAP - distance, dy: 0, anchor: 'end' as const },
  ];
  return spots.map((spot) => {
    const left = spot.dx - (spot.anchor === 'start' ? 0 : spot.anchor === 'end' ? width : width / 2);
    const [top, bottom] = [spot.dy - LINE / 2, spot.dy + LINE / 2];
    return { ...spot, box: { left, right: left + width, top, bottom } };
  });
}

function moveBox(box: Box, { x, y }: LabelWish): Box {
  return { left: box.left + x, right: box.right + x, top: box.top + y, bottom: box.bottom + y };
}

function isInside(box: Box, frame: Box): boolean {
  return (
    box.left >= frame.left && box.right <= frame.right && box.top >= frame.top && box.bottom <= frame.bottom
  );
}

function overlaps(a: Box, b: Box): boolean {
  return a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
}

/** Points every few pixels along a line, without its corners. */
export function alongLine(corners: readonly (readonly [number, number])[]): (readonly [number, number])[] {
  return corners.slice(1).flatMap(([x2, y2], i) => {
    const [x1, y1] = corners[i] ?? [x2, y2];
    const count = Math.floor(Math.hypot(x2 - x1, y2 - y1) / LINE_SAMPLE_PIXELS);
    return Array.from({ length: count }, (_, step) => {
      const share = (step + 1) / (count + 1);
      return [x1 + share * (x2 - x1), y1 + share * (y2 - y1)] as const;
    });
  });
}
