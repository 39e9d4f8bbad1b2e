import { describe, expect, test } from '@jest/globals';
import { placeLabels, type LabelWish } from '../../src/report/place-labels.js';

const FRAME = { left: 0, right: 300, top: 0, bottom: 200 };
const WISH: LabelWish = { x: 150, y: 100, texts: ['chosen: 64 scalar, 1.1 MB', 'chosen'] };

/** Obstacles every few pixels, but for a hole around the given place. */
function crowd(hole?: { readonly x: number; readonly y: number }): [number, number][] {
  const places: [number, number][] = [];
  for (let x = 0; x <= 300; x += 4)
    for (let y = 0; y <= 200; y += 4)
      if (hole === undefined || Math.abs(x - hole.x) > 40 || Math.abs(y - hole.y) > 12) places.push([x, y]);
  return places;
}

describe('labels', () => {
  test('have their longest text where there is room', () => {
    expect(placeLabels([WISH], FRAME, [[150, 100]])).toMatchObject([{ wish: 0, text: WISH.texts[0] }]);
  });

  test('are left out where there is none', () => {
    expect(placeLabels([WISH], FRAME, crowd())).toEqual([]);
  });

  test('that are required stand where they cover least, within the frame', () => {
    const required = { ...WISH, isRequired: true };
    const [label] = placeLabels([required], FRAME, crowd({ x: 150, y: 68 }));
    expect(label).toMatchObject({ wish: 0, text: 'chosen', dy: -32 });
    for (const [x, y] of [
      [2, 2],
      [298, 198],
    ] as const)
      expect(placeLabels([{ ...required, x, y }], FRAME, crowd())).toHaveLength(1);
  });

  test('make room for those that are required before them', () => {
    const required = { ...WISH, isRequired: true };
    const other = { ...WISH, texts: ['today'] };
    const labels = placeLabels([required, other], FRAME, crowd({ x: 150, y: 68 }));
    expect(labels.map(({ text }) => text)).toEqual(['chosen']);
  });
});
