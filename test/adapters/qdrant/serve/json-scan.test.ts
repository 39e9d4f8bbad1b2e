import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { float32ArrayJson } from '../../../../adapters/qdrant/serve/json/write-vector.js';
import { JsonError, scanJson, type JsonNode } from '../../../../adapters/qdrant/serve/json/scan-body.js';

const RUNS = 2_000;

/** What the tree says, read back: numbers as float32, everything else by its bytes. */
function valueOf(node: JsonNode, text: Buffer): unknown {
  const bytes = text.toString('utf8', node.start, node.end);
  switch (node.kind) {
    case 'object':
      // Not by assignment, which `__proto__` would escape; the last of two keys wins, as in JSON.parse.
      return Object.fromEntries(node.entries.map(({ key, value }) => [key, valueOf(value, text)]));
    case 'array':
      return node.items.map((item) => valueOf(item, text));
    case 'numbers':
      return [...node.values];
    case 'number':
      return Math.fround(Number(bytes));
    case 'string':
    case 'true':
    case 'false':
    case 'null':
    case 'skipped':
      return JSON.parse(bytes);
  }
}

function withFloat32(value: unknown): unknown {
  if (typeof value === 'number') return Math.fround(value);
  if (Array.isArray(value)) return value.map(withFloat32);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, withFloat32(inner)]));
}

function scan(text: string | Buffer): JsonNode {
  return scanJson(Buffer.from(text));
}

/** Numbers as other programs write them: many digits, zeros on either side, exponents of both signs. */
const numberText = fc
  .tuple(
    fc.constantFrom('', '-'),
    fc.oneof(fc.constant('0'), fc.stringMatching(/^[1-9][0-9]{0,24}$/)),
    fc.oneof(fc.constant(''), fc.stringMatching(/^\.0{0,12}[0-9]{1,24}$/)),
    fc.oneof(
      fc.constant(''),
      fc.stringMatching(/^[eE][+-]?0?[0-9]{1,2}$/),
      fc.stringMatching(/^[eE]-[0-9]{3}$/),
    ),
  )
  .map((parts) => parts.join(''));

describe('what is JSON', () => {
  test('values are those of JSON.parse, numbers rounded to float32', () => {
    fc.assert(
      fc.property(fc.json({ maxDepth: 6 }), fc.constantFrom(undefined, 1), (json, indent) => {
        const text = JSON.stringify(JSON.parse(json), null, indent);
        expect(valueOf(scan(text), Buffer.from(text))).toEqual(withFloat32(JSON.parse(text)));
      }),
      { numRuns: RUNS },
    );
  });

  test('every number of an array is the float32 nearest to what JSON.parse makes of it', () => {
    fc.assert(
      fc.property(fc.array(numberText, { minLength: 1 }), (texts) => {
        const node = scan(`[${texts.join(' ,\n')}]`);
        const values = node.kind === 'numbers' ? [...node.values] : null;
        expect(values).toEqual(texts.map((text) => Math.fround(Number(text))));
      }),
      { numRuns: RUNS * 2 },
    );
  });

  test('arrays longer than what is looked at in one piece are read whole, blanks and long numbers across its end', () => {
    const piece = fc.oneof(
      { weight: 8, arbitrary: numberText },
      { weight: 1, arbitrary: fc.stringMatching(/^0\.[0-9]{60,90}$/) },
    );
    fc.assert(
      fc.property(
        fc.array(piece, { minLength: 1 }),
        fc.integer({ min: 65_400, max: 65_700 }),
        (texts, at) => {
          const ones = Array.from({ length: (at - 1) >> 1 }, () => '1');
          const text = `[${ones.join(',')}${' '.repeat(at & 1)},${texts.join(' , \n')} ]`;
          const node = scan(text);
          const values = node.kind === 'numbers' ? [...node.values.subarray(ones.length)] : null;
          expect(values).toEqual(texts.map((number) => Math.fround(Number(number))));
        },
      ),
      { numRuns: 300 },
    );
  });

  test('numbers halfway between two float32 go where JSON.parse lets them go', () => {
    const bits = new DataView(new ArrayBuffer(4));
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 0x7f7ffffe }),
        fc.constantFrom(15, 16, 17, 18, 20, 25),
        (raw, digits) => {
          bits.setUint32(0, raw);
          const low = bits.getFloat32(0);
          bits.setUint32(0, raw + 1);
          const middle = (low + bits.getFloat32(0)) / 2;
          const text = middle.toPrecision(digits);
          const node = scan(`[${text}]`);
          expect(node.kind === 'numbers' && node.values[0]).toBe(Math.fround(Number(text)));
        },
      ),
      { numRuns: RUNS * 2 },
    );
  });

  test('digits behind a fraction of zeros count from the first that is none, those of a whole number from its own', () => {
    const texts = [
      '4294967296.0005',
      '8589934592.0000000000000001',
      '0.000',
      '-0.00',
      '0.0000000000000000000000000000001',
      '-0.001999999999999999999999',
      '0.0009999999999999999999',
      '0.00100000000000000000499',
      '0.1234567890123456',
      '0.12345678901234567',
      '0.123456789012345678',
      '0.1234567890123456789',
    ];
    const node = scan(`[${texts.join()}]`);
    expect(node.kind === 'numbers' && [...node.values]).toEqual(
      texts.map((text) => Math.fround(Number(text))),
    );
  });

  test('an exponent that counts round a whole word is no small one', () => {
    const node = scan('[1e-4294967297, 1e00000000001]');
    expect(node.kind === 'numbers' && [...node.values]).toEqual([0, 10]);
  });

  test('an array that ends in something else keeps its numbers as they stand', () => {
    const node = scan('[1, 2.50 ,"x"]');
    expect(node).toMatchObject({
      kind: 'array',
      items: [{ kind: 'number', start: 1, end: 2 }, { start: 4, end: 8 }, {}],
    });
  });

  test('payloads and filters are not looked into, vectors of such names are', () => {
    const node = scan('{"payload":{"a":[1]},"vector":{"payload":[1],"filter":[2]},"filter":{}}');
    expect(node).toMatchObject({
      entries: [
        { key: 'payload', value: { kind: 'skipped', start: 11, end: 20 } },
        { value: { entries: [{ value: { kind: 'numbers' } }, { value: { kind: 'numbers' } }] } },
        { value: { kind: 'skipped' } },
      ],
    });
  });

  test('escaped keys are told by what they mean', () => {
    const node = scan('{"qu\\u0065ry":1,"\\ud83d\\ude80\\"":2,"ünï":3}');
    expect(node.kind === 'object' && node.entries.map(({ key }) => key)).toEqual(['query', '🚀"', 'ünï']);
  });
});

describe('what is not', () => {
  test('is refused where JSON.parse refuses it, and nowhere else', () => {
    const broken = fc
      .tuple(
        fc.json({ maxDepth: 4 }),
        fc.nat(),
        fc.constantFrom('', '"', '{', '}', ']', ',', ':', '\\', '1', '-', '.', 'e', 't', '\u0001'),
      )
      .map(([json, at, cut]) => {
        const where = at % (json.length + 1);
        return json.slice(0, where) + cut + json.slice(where + 1);
      });
    fc.assert(
      fc.property(broken, (text) => {
        let valid = true;
        try {
          JSON.parse(text);
        } catch {
          valid = false;
        }
        // The one thing JSON.parse takes that the server does not: half a surrogate pair, and infinite numbers.
        fc.pre(!/\\u[dD][89a-fA-F]/.test(text) && !/\d[eE]\+?\d{3}/.test(text));
        if (valid) expect(() => scan(text)).not.toThrow();
        else expect(() => scan(text)).toThrow(JsonError);
      }),
      { numRuns: RUNS * 2 },
    );
  });

  test('every truncation of a body is refused', () => {
    const text = '{"query":[1.5,-2e-3],"a":{"b":[true,null,"x\\u00e9"]},"payload":{"c":[1,{"d":"e"}]}}';
    for (let length = 0; length < text.length; length++)
      expect(() => scan(text.slice(0, length))).toThrow(/^(EOF while parsing|expected ident|invalid)/);
    expect(() => scan(text)).not.toThrow();
  });

  test.each([
    ['', 'EOF while parsing a value at line 1 column 0'],
    ['{', 'EOF while parsing an object at line 1 column 1'],
    ['{"query":[ ', 'EOF while parsing a list at line 1 column 11'],
    ['{"filter":[', 'EOF while parsing a list at line 1 column 11'],
    ['{"limit":2,', 'EOF while parsing a value at line 1 column 11'],
    ['{"a":"\\u00', 'EOF while parsing a string at line 1 column 10'],
    ['{"query":[1,2', 'EOF while parsing a list at line 1 column 13'],
    ['{"limit":2} x', 'trailing characters at line 1 column 13'],
    ['{"limit":2,}', 'trailing comma at line 1 column 12'],
    ['{"vec', 'EOF while parsing a string at line 1 column 5'],
    ['{"limit":01}', 'invalid number at line 1 column 11'],
    [
      '{"a":\n"\u0001"}',
      'control character (\\u0000-\\u001F) found while parsing a string at line 2 column 2',
    ],
    ['\ufeff{}', 'expected value at line 1 column 1'],
    ['{"query":[1e400,0]}', 'number out of range at line 1 column 15'],
    ['{"query":[1e4294967297,0]}', 'number out of range at line 1 column 22'],
    ['["\\ud800"]', 'unexpected end of hex escape at line 1 column 9'],
    ['["\\udc00"]', 'lone leading surrogate in hex escape at line 1 column 9'],
  ])('%j is refused in the words of the server', (text, message) => {
    expect(() => scan(text)).toThrow(message);
  });

  test('bytes that are no UTF-8 are refused wherever they stand', () => {
    for (const bytes of [[0xff], [0xc3], [0xed, 0xa0, 0x80], [0xf5, 0x80, 0x80, 0x80], [0xc0, 0xaf]]) {
      const body = Buffer.concat([Buffer.from('{"payload":"'), Buffer.from(bytes), Buffer.from('"}')]);
      expect(() => scan(body)).toThrow(/^invalid unicode code point/);
    }
  });

  test('nesting is limited as the server limits it, in what is skipped too', () => {
    for (const key of ['a', 'payload']) {
      const nested = (depth: number): string => `{"${key}":${'['.repeat(depth)}${']'.repeat(depth)}}`;
      expect(() => scan(nested(126))).not.toThrow();
      expect(() => scan(nested(127))).toThrow(/^recursion limit exceeded/);
      expect(() => scan(nested(1_000_000))).toThrow(/^recursion limit exceeded/);
    }
  });

  test('long arrays that only at their end turn out to hold something else are read twice, not more', () => {
    const list = `[${'1,'.repeat(200_000)}"x"]`;
    const node = scan(`[${Array.from({ length: 5 }, () => list).join()}]`);
    expect(node.kind === 'array' && node.items.every((item) => item.kind === 'array')).toBe(true);
  });
});

describe('numbers written', () => {
  const anyFloat32 = fc.float({ noNaN: true, noDefaultInfinity: true });

  test('read back as the same float32', () => {
    fc.assert(
      fc.property(anyFloat32, (value) => {
        const values = Float32Array.of(value, value);
        // JSON has no other way to write -0 either.
        expect(Float32Array.from(JSON.parse(float32ArrayJson(values).toString()) as number[])).toEqual(
          values.map((one) => one + 0),
        );
      }),
      { numRuns: RUNS * 10 },
    );
  });

  test('are short where few decimals do', () => {
    const text = (...values: number[]): string => float32ArrayJson(Float32Array.from(values)).toString();
    expect(text(1, -0.5, 0.125, 0, 1234, 0.1)).toBe('[1,-0.5,0.125,0,1234,0.1]');
    expect(text()).toBe('[]');
  });
});
