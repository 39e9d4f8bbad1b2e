import { expect, test } from '@jest/globals';
import { doubleReadAs, isStableDouble } from '../../../../adapters/qdrant/transport/server-rounding.js';

test.each([Number.MAX_VALUE, 1.7976931348623155e308, -1.7976931348623155e308, 1.7976931348623151e308])(
  'a double beside the largest one, %p, is sent as a finite one of its sign',
  (value) => {
    const sent = doubleReadAs(value);
    expect(Number.isFinite(sent)).toBe(true);
    expect(Math.sign(sent)).toBe(Math.sign(value));
  },
);

test.each([Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, Number.NaN])(
  '%p is no double that a server keeps',
  (value) => expect(isStableDouble(value)).toBe(false),
);
